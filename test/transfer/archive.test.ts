import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openArchive } from '../../src/transfer/archive.ts'
import { temporaryDirectory } from '../support/temporary.ts'

test('one that cannot be opened is an error for who asked, and for nobody else', async () => {
  await using directory = await temporaryDirectory()
  const room = { take: async () => {}, landed() {}, giveBack() {} }
  const blobs = { find: async () => undefined }
  const options = { drafts: directory.path, blobs, room, onFault() {}, onBytes() {} }

  const opened = openArchive(join(directory.path, 'gone.tar'), options, new AbortController().signal)

  await expect(opened).rejects.toThrow(/gone\.tar: .*ENOENT/)
})
