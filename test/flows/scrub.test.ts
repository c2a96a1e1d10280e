import { rm, truncate } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { extentBytes } from '../../src/blobs/extents.ts'
import { type FaultSite, layerOf, startSite } from '../faults/support/site.ts'
import { flip, pathOf, storedDigests } from '../faults/support/stored.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'

const image = buildImage({ layers: [14_000_000], seed: 'scrub', compression: 'none' })
const layer = layerOf(image)
const scrubbed = (scrub: object | boolean) => ({
  policy: {
    project: { freshness: [{ tag: '**', for: '1d' }] },
    more: [{ kind: 'cache', scrub }],
  },
})
const often = scrubbed({ every: '1s', rate: '200MiB/s' })

async function pulled(site: FaultSite): Promise<void> {
  site.upstream.addImage('library/app', '1', image)
  await pull(site.edge.url, 'library/app', '1')
  site.upstream.clear()
}
const healed = ({ edge }: FaultSite) => edge.metrics('outport_blobs_healed_total')
const allDigests = [image.manifest, image.config, ...image.layers].map(({ digest }) => digest).sort()

describe('before anybody asks', () => {
  test.each<[string, number, (file: string) => Promise<unknown>]>([
    ['in which a bit has flipped', 2 * extentBytes, (file) => flip(file, 6_000_000)],
    ['that has lost its end', 3 * extentBytes, (file) => truncate(file, 13_500_000)],
    ['that has gone', layer.bytes.length, (file) => rm(file)],
  ])('a layer %s is found and mended', async (_, bytes, spoil) => {
    await using site = await startSite(often)
    await pulled(site)
    await spoil(pathOf(site.edge.data, layer.digest))

    await expect.poll(() => healed(site), { timeout: 10_000 }).toBe(1)

    expect((await storedDigests(site.edge.data)).sort()).toEqual(allDigests)
    expect(site.upstream.blobBytes(layer.digest)).toBeLessThanOrEqual(bytes)
    site.upstream.clear()
    expect(await site.askBlob(layer)).toMatchObject({ complete: true, sha256: layer.digest })
    expect(site.upstream.count({ kind: 'blob' })).toBe(0)
  })

  test.each([
    ['manifest', image.manifest.digest],
    ['config', image.config.digest],
  ])('a %s that has gone from the disk is there again, from memory', async (_, digest) => {
    await using site = await startSite(often)
    await pulled(site)
    await pull(site.edge.url, 'library/app', '1')
    await rm(pathOf(site.edge.data, digest))
    await expect.poll(() => healed(site), { timeout: 10_000 }).toBe(1)
    expect((await storedDigests(site.edge.data)).sort()).toEqual(allDigests)
    expect(site.upstream.requests).toEqual([])
  })

  test('what rots while upstream is away is put aside, and mended later', async () => {
    await using site = await startSite(often)
    await pulled(site)
    await site.upstream.stop()
    await flip(pathOf(site.edge.data, layer.digest), 1000)
    await expect.poll(() => site.edge.metrics('outport_blobs_rotten_total'), { timeout: 10_000 }).toBe(1)
    expect((await site.askBlob(layer)).status).toBe(503)
    await site.upstream.restart()
    await expect.poll(() => healed(site), { timeout: 30_000 }).toBe(1)
    expect((await storedDigests(site.edge.data)).sort()).toEqual(allDigests)
  })
})

test('nothing is read that nobody wants read', async () => {
  await using site = await startSite(scrubbed(false))
  await pulled(site)
  await flip(pathOf(site.edge.data, layer.digest), 1000)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  expect(await site.edge.metrics('outport_blobs_rotten_total')).toBe(0)
})
