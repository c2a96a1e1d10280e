import { expect, test } from 'vitest'
import type { Digest } from '../../src/oci/digest.ts'
import { garbageHome, team } from '../jobs/support/garbage-home.ts'
import { blobsOf, buildImage, type Content } from '../support/images.ts'

const image = buildImage({ layers: [1000], seed: 'mirrored' })

async function mirrored() {
  const home = await garbageHome()
  for (const { digest, bytes } of blobsOf(image)) {
    await home.blobs.write(digest, bytes)
    await home.metadata.recordBlob({ digest, size: bytes.length, repositories: [team], origin: 'filled' })
  }
  return home
}

test('what was mirrored cannot go for room while a manifest that names it is put', async () => {
  await using home = await mirrored()
  const digests = blobsOf(image).map(({ digest }) => digest)
  const free: Digest[] = []
  home.hooks.write = async (digest) => {
    if (digest !== image.manifest.digest) return
    using claim = home.holds.claim(digests)
    free.push(...claim.keys)
  }
  await home.put(team, image.manifest, 'latest')
  expect(free).toEqual([])
  using claim = home.holds.claim(digests)
  expect([...claim.keys]).toEqual(digests)
})

test('what was mirrored and is about to go for room is waited for, and missed', async () => {
  await using home = await mirrored()
  const [layer] = image.layers as [Content]
  const claim = home.holds.claim([layer.digest])
  const put = home.put(team, image.manifest, 'latest')
  await home.metadata.stored.remove(await home.metadata.stored.held([layer.digest]))
  claim[Symbol.dispose]()
  await expect(put).rejects.toMatchObject({ code: 'MANIFEST_BLOB_UNKNOWN' })
})
