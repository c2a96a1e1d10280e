import { join } from 'node:path'
import { expect, test } from 'vitest'
import { giveUp } from '../../src/jobs/give-up.ts'
import { openMetadata } from '../../src/metadata/open-metadata.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const repository = parseRepositoryName('team/app')
const [older, newer] = [digestOf(Buffer.from('older')), digestOf(Buffer.from('newer'))]

test('a tag that has moved since it was listed stays', async () => {
  await using directory = await temporaryDirectory()
  const metadata = await openMetadata({ file: join(directory.path, 'outport.db'), durability: 'fast' })
  const put = (tag: string, digest = older) =>
    metadata.tags.put({ repository, tag: parseTag(tag), digest, mediaType: 'x', size: 1, checkedAt: 0 })
  await put('1')
  await put('2')
  const space = { giveUp: async () => ({ gone: [], stay: new Map() }) }
  const options = { metadata, space, usage: { flush: async () => {} }, pins: () => [] }
  const images = { kind: 'tags' as const, matches: () => true }
  const target = { text: 'team/app:*', repositories: () => true, images }

  const events = []
  for await (const event of giveUp(options, [target], false, new AbortController().signal)) {
    events.push(event)
    if (events.length === 1) await put('2', newer)
  }

  expect(events[1]).toMatchObject({ image: 'team/app:2', why: 'it has moved or gone meanwhile' })
  expect(await metadata.tags.find(repository, parseTag('1'))).toBeUndefined()
  expect(await metadata.tags.find(repository, parseTag('2'))).toMatchObject({ digest: newer })
  await metadata.close()
})
