import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pathOf } from '../faults/support/stored.ts'
import { buildImage, contentOf, type Image } from '../support/images.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { addToRegistryData } from './support/registry-data.ts'
import { hostedSite } from './support/site.ts'

const count = 1000
const MiB = 1024 * 1024

/** Layers are shared by ten images each, as those of builds of one program are. */
function imageOf(at: number): Image {
  const base = buildImage({ layers: [200_000, 40_000], seed: `base ${Math.floor(at / 10)}` })
  const config = contentOf(
    base.config.mediaType,
    Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', at })),
  )
  const manifest = JSON.parse(base.manifest.bytes.toString())
  const described = { mediaType: config.mediaType, digest: config.digest, size: config.bytes.length }
  const bytes = Buffer.from(JSON.stringify({ ...manifest, config: described }))
  return { ...base, config, manifest: contentOf(base.manifest.mediaType, bytes) }
}

test('a registry of 1,000 tags comes in by links, in bounded memory, and is served as it was', async () => {
  await using folder = await temporaryDirectory()
  const registry = join(folder.path, 'registry')
  const digests = new Map<string, string>()
  const layers = new Set<string>()
  for (let at = 0; at < count; at++) {
    const image = imageOf(at)
    await addToRegistryData(registry, `app-${at % 20}`, image, `v${at}`)
    digests.set(`team/app-${at % 20}/manifests/v${at}`, image.manifest.digest)
    for (const { digest } of image.layers) layers.add(digest)
  }
  await using site = await hostedSite()
  const edge = await site.start()
  const before = await edge.rss()
  const startedAt = performance.now()
  const told = await site.run('import', registry, '--into', 'team')
  console.log(`imported in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  expect(told).toMatchObject({ code: 0, stderr: '' })
  expect(told.stdout).toMatch(/^20 repositories, 1000 tags, 1000 manifests; 1200 blobs linked and 0 copied/)
  expect((await edge.rss()) - before).toBeLessThan(128 * MiB)
  for (const digest of layers) expect((await stat(pathOf(site.data, digest))).nlink).toBe(2)
  for (const [path, digest] of digests) {
    const { headers } = await fetch(`${edge.url}/v2/${path}`, { method: 'HEAD' })
    expect(headers.get('docker-content-digest')).toBe(digest)
  }
}, 240_000)
