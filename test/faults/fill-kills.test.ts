import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { extentBytes, extentsOf } from '../../src/blobs/extents.ts'
import type { Fetched } from '../support/fetch-blob.ts'
import { buildImage, type Content } from '../support/images.ts'
import { line, type Sluice, sluice } from '../support/line.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { describeWith } from '../support/tools.ts'
import { losePages, snapshotOf } from './support/power-cut.ts'
import { readSlowly } from './support/readers.ts'
import { attempt, type FaultSite, isWhole, layerOf, repository, startSite } from './support/site.ts'
import { slowDisk } from './support/slow-disk.ts'
import { type Chance, soak, soakSeconds } from './support/soak.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const kinds = [{ segments: 1 }, { segments: 4 }]

// Nine kills with three fills each, every one at a place of its own: fifty-four points for both kinds.
test.each(
  kinds,
)('killed at random points of fills in $segments ranges at a time, the last pages lost: nothing wrong comes of it', {
  timeout: (soakSeconds + 60) * 1000,
}, async ({ segments }) => {
  const road = sluice()
  await using site = await startSite({ upstream: { line: road }, policy: { registry: { segments } } })

  await soak(9, (chance, at) => killOnce(site, road, chance, at))

  expect((await storedDigests(site.edge.data)).length).toBeGreaterThanOrEqual(27)
})

async function killOnce(site: FaultSite, road: Sluice, chance: Chance, at: number): Promise<void> {
  const { upstream, edge } = site
  const folder = join(edge.data, 'fills')
  const layers = await Promise.all([0, 1, 2].map((each) => publish(site, chance, `${at}-${each}`)))
  const killAt = chance.below(layers.reduce((sum, { bytes }) => sum + bytes.length, 0))
  const snapshotAt = chance.below(killAt + 1)
  road.close(snapshotAt)
  const wholes = layers.map((layer) => ask(site, layer))
  const ranges = layers.map((layer) =>
    ask(site, layer, { range: `bytes=${chance.below(layer.bytes.length)}-` }),
  )
  const over = Promise.all([...wholes, ...ranges])
  await road.dry()
  const snapshot = await snapshotOf(folder)
  road.close(killAt - snapshotAt)
  await Promise.race([road.dry(), over])

  await edge.kill()
  await over

  road.open()
  for (const [index, answer] of (await Promise.all(wholes)).entries())
    if (isWhole(answer)) expect(answer?.sha256).toBe(layers[index]?.digest)
  const lost = (await losePages(chance, folder, snapshot)).join(', ')
  await edge.restart()
  upstream.clear()

  for (const layer of layers) {
    const answers = await Promise.all([ask(site, layer), ask(site, layer)])
    for (const answer of answers)
      expect(answer, lost).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
    expect(upstream.blobBytes(layer.digest), lost).toBeLessThanOrEqual(layer.bytes.length * 1.01)
  }
  expect(await partsIn(edge.data), lost).toEqual([])
  upstream.clear()
}

/** A blob of its own. Of half of them, the size is known before the fill begins. */
async function publish({ upstream, askTag }: FaultSite, chance: Chance, tag: string): Promise<Content> {
  const seed = `${tag} ${chance.below(1e9)}`
  const image = buildImage({ layers: [2 * MiB + chance.below(14 * MiB)], seed, compression: 'none' })
  upstream.addImage(repository, tag, image)
  if (chance.below(2) === 0) expect(await askTag(image.manifest.digest)).toMatchObject({ status: 200 })
  return layerOf(image)
}

async function marksIn(data: string): Promise<number> {
  const folder = join(data, 'fills')
  const file = (await readdir(folder)).find((name) => name.endsWith('.marks')) ?? ''
  const extents = extentsOf(await readFile(join(folder, file), 'latin1'))
  return extents?.tags.filter((tag) => tag !== undefined).length ?? 0
}

function ask(
  site: FaultSite,
  layer: Content,
  headers: { range?: string } = {},
): Promise<Fetched | undefined> {
  return attempt(site.askBlob(layer, { headers, signal: AbortSignal.timeout(15_000) }))
}

test.each(
  kinds,
)('killed at 60 % of a fill in $segments ranges at a time, with nothing lost: only the rest is fetched', async ({
  segments,
}) => {
  const bytes = pseudoRandomBytes(256 * MiB, 'sixty')
  const road = sluice(0.6 * bytes.length)
  await using site = await startSite({ upstream: { line: road }, policy: { registry: { segments } } })
  const digest = site.upstream.addBlob(repository, bytes)
  const path = `blobs/${digest}`
  const client = attempt(site.ask(path, { keep: false }))
  await road.dry()
  await expect
    .poll(() => site.edge.metrics('outport_upstream_bytes_total'))
    .toBe(site.upstream.blobBytes(digest))
  // What has come is not noted at once; of each range, what is short of an extent is not noted at all.
  const arrived = Math.floor(site.upstream.blobBytes(digest) / extentBytes)
  await expect.poll(() => marksIn(site.edge.data)).toBeGreaterThanOrEqual(arrived - segments - 1)

  await site.edge.kill()
  expect(isWhole(await client)).toBe(false)
  await site.edge.restart()
  site.upstream.clear()
  road.open()

  expect(await site.ask(path, { keep: false })).toMatchObject({ status: 200, complete: true, sha256: digest })
  expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(0.42 * bytes.length)
  expect(await partsIn(site.edge.data)).toEqual([])
})

describeWith(['strace'], 'on a disk that takes a while for every write', () => {
  test.each([
    1, 10,
  ])('of %i ms, killed at 60 % of a fill in six ranges at a time: little is fetched twice', async (ms) => {
    const bytes = pseudoRandomBytes(96 * MiB, 'slow')
    const upstream = { line: line({ bytesPerSecond: 32 * MiB }) }
    await using site = await startSite({ upstream, policy: { registry: { segments: 6 } } })
    const digest = site.upstream.addBlob(repository, bytes)
    await using slow = await slowDisk(site.edge.pid, ms)
    const leaveAt = 0.6 * bytes.length
    await readSlowly(`${site.edge.url}/v2/${repository}/blobs/${digest}`, bytes, { leaveAt })

    await site.edge.kill()
    await slow[Symbol.asyncDispose]()
    await site.edge.restart()
    site.upstream.clear()

    expect(await site.ask(`blobs/${digest}`, { keep: false })).toMatchObject({
      complete: true,
      sha256: digest,
    })
    expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(0.42 * bytes.length)
  })
})
