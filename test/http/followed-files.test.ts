import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { followFiles } from '../../src/http/followed-files.ts'
import { temporaryDirectory } from '../support/temporary.ts'

test('tells a change once, and nothing that is known', async () => {
  await using folder = await temporaryDirectory()
  const files = ['a', 'b'].map((name) => join(folder.path, name))
  const [a = '', b = ''] = files
  await writeFile(a, '1')
  let changes = 0
  const followed = followFiles({ files, onChange: () => changes++, pollMs: 20 })
  await followed.note()

  await writeFile(b, '1')
  await expect.poll(() => changes).toBe(1)
  await rm(a)
  await expect.poll(() => changes).toBe(2)
  followed.close()
})
