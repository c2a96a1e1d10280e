import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { offsetOfLine } from '../../src/blobs/extents.ts'
import { readSlowly } from '../faults/support/readers.ts'
import { type FaultSite, layerOf, repository, startSite } from '../faults/support/site.ts'
import { partsIn, pathOf, storedDigests } from '../faults/support/stored.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage, type Image } from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { pull } from '../support/pull.ts'

const MiB = 1024 * 1024
const layerBytes = MiB

function imagesOf(count: number, seed = 'image'): Image[] {
  return Array.from({ length: count }, (_, at) =>
    buildImage({ layers: [layerBytes], seed: `${seed} ${at}`, compression: 'none' }),
  )
}

function siteWith(cache: object, data?: string): Promise<FaultSite> {
  return startSite({
    policy: { project: { freshness: [{ tag: '**', for: '1d' }] }, more: [{ kind: 'cache', ...cache }] },
    ...(data !== undefined && { data }),
  })
}

const nameOf = (at: number) => `library/app${at}`

/** Images that are here whole, by their number. */
async function wholeIn({ edge }: FaultSite, images: readonly Image[]): Promise<number[]> {
  const stored = new Set(await storedDigests(edge.data))
  return images.flatMap(({ manifest, config, layers }, at) =>
    [manifest, config, ...layers].every(({ digest }) => stored.has(digest)) ? [at] : [],
  )
}

async function bytesOnDisk({ edge }: FaultSite): Promise<number> {
  let bytes = 0
  for (const folder of ['blobs', 'fills']) {
    const entries = await readdir(join(edge.data, folder), { recursive: true, withFileTypes: true })
    for (const entry of entries) {
      if (!entry.isFile()) continue
      bytes += await stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      )
    }
  }
  return bytes
}

describe('a cache that is full', () => {
  test('gives up whole images, the longest unused first', async () => {
    const images = imagesOf(12)
    await using site = await siteWith({ budget: '10MiB', high: '90%', low: '75%' })
    for (const [at, image] of images.entries()) site.upstream.addImage(nameOf(at), '1', image)
    for (const at of [0, 1, 2, 3, 4, 5]) await pull(site.edge.url, nameOf(at), '1')
    // A client that has the layers already asks for no more.
    await fetchBlob(`${site.edge.url}/v2/${nameOf(0)}/manifests/1`)
    for (const at of [6, 7, 8]) await pull(site.edge.url, nameOf(at), '1')

    await expect.poll(() => site.edge.metrics('outport_evicted_total')).toBeGreaterThan(0)
    await expect.poll(() => wholeIn(site, images)).toEqual([0, 3, 4, 5, 6, 7, 8])
    expect(await storedDigests(site.edge.data)).toHaveLength(7 * 3)

    site.upstream.clear()
    for (const at of [0, 1]) await pull(site.edge.url, nameOf(at), '1')
    expect(site.upstream.blobBytes()).toBeGreaterThan(layerBytes)
    expect(site.upstream.blobBytes()).toBeLessThan(1.1 * layerBytes)
  })

  test('keeps down to its low mark when many come at once', async () => {
    const images = imagesOf(50)
    await using site = await siteWith({ budget: '40MiB' })
    for (const [at, image] of images.entries()) site.upstream.addImage(nameOf(at), '1', image)
    for (let at = 0; at < 37; at += 1) await pull(site.edge.url, nameOf(at), '1')
    await Promise.all([...images.keys()].slice(37, 49).map((at) => pull(site.edge.url, nameOf(at), '1')))

    await expect.poll(() => site.edge.metrics('outport_evicted_total')).toBeGreaterThan(0)
    await expect.poll(() => bytesOnDisk(site)).toBeLessThanOrEqual(38.1 * MiB)
    // 85 % are left, and of the last image that went perhaps a part.
    expect(await bytesOnDisk(site)).toBeGreaterThan(32.5 * MiB)
  })

  test('keeps what is pinned', async () => {
    const images = imagesOf(12)
    await using site = await siteWith({ budget: '6MiB', pins: ['docker.io/library/app0', 'library/app1'] })
    for (const [at, image] of images.entries()) {
      site.upstream.addImage(nameOf(at), '1', image)
      await pull(site.edge.url, nameOf(at), '1')
    }
    expect(await wholeIn(site, images)).toEqual(expect.arrayContaining([0, 1, 11]))
    expect(await bytesOnDisk(site)).toBeLessThan(7 * MiB)
  })

  test('that is pinned whole passes on what does not fit, and says so', async () => {
    const images = imagesOf(6)
    await using site = await siteWith({ budget: '4MiB', pins: ['**'] })
    for (const [at, image] of images.entries()) {
      site.upstream.addImage(nameOf(at), '1', image)
      await pull(site.edge.url, nameOf(at), '1')
    }
    expect(await wholeIn(site, images)).toEqual([0, 1, 2])
    expect(await site.edge.metrics('outport_fill_skipped_disk_total')).toBeGreaterThanOrEqual(3)
    expect(await partsIn(site.edge.data)).toEqual([])
  })

  test('with twenty readers of thrice as much: never over its budget and a blob, and no pull fails', {
    timeout: 120_000,
  }, async () => {
    const images = imagesOf(60)
    await using site = await siteWith({ budget: '20MiB' })
    for (const [at, image] of images.entries()) site.upstream.addImage(nameOf(at), '1', image)
    const turns = Array.from({ length: 300 }, (_, turn) => (turn * 17) % images.length).values()
    const failures: string[] = []
    let most = 0
    async function read(): Promise<void> {
      for (const at of turns)
        await pull(site.edge.url, nameOf(at), '1').catch((error) => failures.push(`${error}`))
    }
    const over = new AbortController()
    const watch = (async () => {
      while (!over.signal.aborted) {
        most = Math.max(most, await bytesOnDisk(site))
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    await Promise.all(Array.from({ length: 20 }, read))
    over.abort()
    await watch

    expect(failures).toEqual([])
    expect(most).toBeLessThanOrEqual(21.2 * MiB)
    expect(await site.edge.metrics('outport_evicted_bytes_total')).toBeGreaterThan(20 * MiB)
    // While the last round still runs, files go that were listed.
    await expect.poll(() => storedDigests(site.edge.data)).not.toEqual([])
  })
})

test('who reads what is given up reads on to its end', async () => {
  const images = imagesOf(3, 'read')
  const large = buildImage({ layers: [24 * MiB], seed: 'large', compression: 'none' })
  await using site = await siteWith({ budget: '40MiB', high: '50%', low: '5%' })
  site.upstream.addImage(nameOf(9), '1', large)
  await pull(site.edge.url, nameOf(9), '1')
  const { digest, bytes } = layerOf(large)
  const slow = readSlowly(`${site.edge.url}/v2/${nameOf(9)}/blobs/${digest}`, bytes, {
    bytesPerSecond: 12 * MiB,
  })
  for (const [at, image] of images.entries()) {
    site.upstream.addImage(nameOf(at), '1', image)
    await pull(site.edge.url, nameOf(at), '1')
  }
  expect(await slow).toEqual({ status: 200, bytes: bytes.length, isRight: true, isComplete: true })
})

test('what nobody has used for the time that the rules say goes, also at a start', async () => {
  const images = imagesOf(2)
  await using site = await siteWith({ maxAge: '2s' })
  for (const [at, image] of images.entries()) site.upstream.addImage(nameOf(at), '1', image)
  await pull(site.edge.url, nameOf(0), '1')
  await site.edge.restart()
  await pull(site.edge.url, nameOf(1), '1')
  const afterAStart = async () => {
    await site.edge.restart()
    return storedDigests(site.edge.data)
  }
  await expect.poll(afterAStart, { timeout: 20_000 }).toEqual([])
  await pull(site.edge.url, nameOf(0), '1')
})

describe('the budget holds', () => {
  const blobOf = (site: FaultSite, seed: string, bytes = 5 * MiB) =>
    site.upstream.addBlob(repository, pseudoRandomBytes(bytes, seed))

  test('with what fills have left that were killed: the oldest of it goes first', async () => {
    await using site = await siteWith({ budget: '12MiB' })
    const digests = ['a', 'b', 'c', 'd'].map((seed) => blobOf(site, seed))
    for (const digest of digests) {
      using stalled = site.upstream.fault({ on: { kind: 'blob', digest }, stallAt: 4.6 * MiB })
      const asked = site.ask(`blobs/${digest}`).catch(() => {})
      await stalled.struck()
      // Eight extents are noted.
      const marks = join(site.edge.data, 'fills', `${digest.replace(':', '-')}.marks`)
      const noted = () => stat(marks).then(({ size }) => size)
      await expect.poll(() => noted().catch(() => 0)).toBeGreaterThanOrEqual(offsetOfLine(8))
      await site.edge.kill()
      await asked
      await site.edge.restart()
    }
    site.upstream.clear()

    for (const digest of [...digests].reverse())
      expect(await site.ask(`blobs/${digest}`)).toMatchObject({ complete: true, sha256: digest })

    expect(await bytesOnDisk(site)).toBeLessThanOrEqual(12.1 * MiB)
    expect(site.upstream.blobBytes(digests[3])).toBeLessThan(1.2 * MiB)
    expect(site.upstream.blobBytes(digests[0])).toBe(5 * MiB)
  })

  test('for blobs whose size nobody says, of which a small one needs little', async () => {
    await using site = await siteWith({ budget: '10MiB' })
    const digest = blobOf(site, 'small', 100_000)
    using _ = site.upstream.fault({ on: { kind: 'blob' }, chunked: true, ignoreRange: true })
    expect(await site.ask(`blobs/${digest}`)).toMatchObject({ status: 200, complete: true, sha256: digest })
    expect(await storedDigests(site.edge.data)).toEqual([digest])
  })

  test('for one that is fetched again and again, for which nothing else goes', async () => {
    const images = imagesOf(6)
    await using site = await siteWith({ budget: '20MiB' })
    for (const [at, image] of images.entries()) {
      site.upstream.addImage(nameOf(at), '1', image)
      await pull(site.edge.url, nameOf(at), '1')
    }
    const digest = blobOf(site, 'again', 2 * MiB)
    for (let turn = 0; turn < 8; turn += 1) {
      expect(await site.ask(`blobs/${digest}`)).toMatchObject({ complete: true, sha256: digest })
      await rm(pathOf(site.edge.data, digest))
    }
    expect(await site.edge.metrics('outport_evicted_total')).toBe(0)
    expect(await wholeIn(site, images)).toEqual([0, 1, 2, 3, 4, 5])
  })
})
