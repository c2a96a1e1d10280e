import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openMetadata } from '../../src/metadata/open-metadata.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const repository = parseRepositoryName('team/app')
const [image, layer, other] = ['image', 'layer', 'other'].map((text) => digestOf(Buffer.from(text))) as [
  ReturnType<typeof digestOf>,
  ReturnType<typeof digestOf>,
  ReturnType<typeof digestOf>,
]

test('what is pushed to a repository that was a mirror’s is pushed, and so are its parts', async () => {
  await using directory = await temporaryDirectory()
  const metadata = await openMetadata({ file: join(directory.path, 'outport.db'), durability: 'fast' })
  for (const digest of [image, layer, other])
    await metadata.recordBlob({ digest, size: 1, repositories: [repository], origin: 'filled' })

  const known = async (digest: typeof image) => (await metadata.links.find(repository, digest))?.origin
  for (const digest of [image, layer]) expect(await known(digest)).toBe('filled')
  const children = [{ digest: layer, size: 1, mediaType: 'application/octet-stream' }]
  const mediaType = mediaTypes.ociManifest
  await metadata.pushes.manifest({ repository, digest: image, mediaType, size: 1, children, tags: [] })
  const originsOf = async () =>
    new Map(
      (await metadata.stored.held([image, layer, other])).map((row) => [row.digest, row.links[0]?.origin]),
    )

  expect(await originsOf()).toEqual(
    new Map([
      [image, 'pushed'],
      [layer, 'pushed'],
      [other, 'filled'],
    ]),
  )
  for (const digest of [image, layer]) expect(await known(digest)).toBe('pushed')
  await metadata.recordBlob({ digest: layer, size: 1, repositories: [repository], origin: 'filled' })
  await metadata.recordBlob({ digest: other, size: 1, repositories: [repository], origin: 'pushed' })
  expect([...(await originsOf()).values()]).toEqual(['pushed', 'pushed', 'pushed'])
  await metadata.close()
})
