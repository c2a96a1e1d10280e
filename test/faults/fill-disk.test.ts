import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Fetched, FetchOptions } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { line, sluice } from '../support/line.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { canMount, mountTmpfs } from '../support/tmpfs.ts'
import { readSlowly } from './support/readers.ts'
import {
  attempt,
  type FaultSite,
  isWhole,
  layerOf,
  repository,
  type SiteOptions,
  startSite,
} from './support/site.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const size = 12 * MiB
const bytes = pseudoRandomBytes(size, 'disk')
/** What is cached before the disk fills up. */
const image = buildImage({ layers: [100_000], seed: 'cached' })
const skipped = 'outport_fill_skipped_disk_total'
const blobGet = { kind: 'blob', method: 'GET' } as const

interface FullSite extends FaultSite {
  digest: string
  get(digest: string, options?: FetchOptions): Promise<Fetched>
  freeSpace(): Promise<void>
}

/** A mirror that has the image, on a disk with so many bytes free. */
async function startFull(freeBytes: number, options: SiteOptions = {}): Promise<FullSite> {
  await using owned = new AsyncDisposableStack()
  const disk = owned.use(await mountTmpfs('40m'))
  const ballast = join(disk.path, 'ballast')
  const site = owned.use(await startSite({ image, data: join(disk.path, 'data'), ...options }))
  expect(await site.askBlob(layerOf(image))).toMatchObject({ complete: true })
  expect(await site.askBlob(image.config)).toMatchObject({ complete: true })
  const digest = site.upstream.addBlob(repository, bytes)
  const { bavail, bsize } = await statfs(disk.path)
  await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - freeBytes)))
  site.upstream.clear()
  const held = owned.move()
  return {
    ...site,
    digest,
    get: (wanted, question) =>
      site.ask(`blobs/${wanted}`, { keep: false, signal: AbortSignal.timeout(15_000), ...question }),
    freeSpace: () => rm(ballast),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

async function expectCachedGoesOn(site: FullSite): Promise<void> {
  expect(await site.askTag(image.manifest.digest)).toMatchObject({ status: 200, body: image.manifest.bytes })
  for (const { digest } of [layerOf(image), image.config]) {
    const answer = await site.get(digest)
    expect(answer).toMatchObject({ complete: true, sha256: digest, headers: { 'x-outport-cache': 'hit' } })
  }
}

async function expectKeptNow(site: FullSite, digest: string): Promise<void> {
  await site.freeSpace()
  expect(await site.get(digest)).toMatchObject({ status: 200, complete: true, sha256: digest })
  expect(await storedDigests(site.edge.data)).toContain(digest)
  expect(await site.get(digest)).toMatchObject({ sha256: digest, headers: { 'x-outport-cache': 'hit' } })
  expect(await partsIn(site.edge.data)).toEqual([])
}

describe.skipIf(!canMount())('tmpfs: a disk that is full', () => {
  test.each([
    { when: 'in the middle of a fill', freeBytes: 6 * MiB },
    { when: 'at its last page', freeBytes: size - 4096 },
    { when: 'before it begins', freeBytes: 0 },
  ])('$when: the client has its bytes all the same, and they are not kept', async ({ freeBytes }) => {
    await using site = await startFull(freeBytes)

    const answer = await site.get(site.digest)

    expect(answer).toMatchObject({ status: 200, complete: true, bytes: size, sha256: site.digest })
    expect(await storedDigests(site.edge.data)).not.toContain(site.digest)
    await expect.poll(() => partsIn(site.edge.data)).toEqual([])
    expect(await site.edge.metrics(skipped)).toBeGreaterThan(0)
    expect(site.upstream.blobBytes(site.digest)).toBeLessThanOrEqual(2 * size)
    await expectCachedGoesOn(site)
    await expectKeptNow(site, site.digest)
  })

  test('to its last byte: a new image is pulled past the database, which takes it up once there is space', async () => {
    const other = buildImage({ layers: [50_000], seed: 'other' })
    const { digest } = layerOf(other)
    await using site = await startFull(0)
    site.upstream.addImage(repository, '2', other)
    async function expectPulled(source: string): Promise<void> {
      const manifest = await site.askTag('2', { signal: AbortSignal.timeout(15_000) })
      expect(manifest).toMatchObject({ status: 200, body: other.manifest.bytes })
      const answer = await site.get(digest)
      expect(answer).toMatchObject({ status: 200, complete: true, sha256: digest })
      expect(answer.headers['x-outport-cache']).toBe(source)
    }

    await expectPulled('fill')
    await expectCachedGoesOn(site)
    expect(await storedDigests(site.edge.data)).not.toContain(digest)

    await site.freeSpace()
    await expectPulled('fill')
    await expectPulled('hit')
    await site.edge.kill()
    await site.edge.restart()
    site.upstream.fault({ on: blobGet, status: 500 })
    await expectPulled('hit')
  })

  test('in the middle of a fill with several clients: each has the right bytes', async () => {
    const upstream = { line: line({ bytesPerSecond: 30 * MiB }) }
    await using site = await startFull(6 * MiB, { upstream })
    const url = `${site.edge.url}/v2/${repository}/blobs/${site.digest}`

    const readings = await Promise.all([
      readSlowly(url, bytes),
      readSlowly(url, bytes, { bytesPerSecond: 8 * MiB }),
      readSlowly(url, bytes, { bytesPerSecond: 4 * MiB }),
      readSlowly(url, bytes, { leaveAt: MiB }),
      readSlowly(url, bytes, { from: 10 * MiB, headers: { range: `bytes=${10 * MiB}-` } }),
    ])

    expect(readings.map(({ isRight }) => isRight)).toEqual([true, true, true, true, true])
    expect(readings.map(({ isComplete }) => isComplete)).toEqual([true, true, true, false, true])
    await expectCachedGoesOn(site)
    await expectKeptNow(site, site.digest)
  })

  test('and a byte that upstream flips: what is not kept is proven all the same', async () => {
    await using site = await startFull(6 * MiB)
    const fault = site.upstream.fault({ on: blobGet, flipAt: 9 * MiB })

    const answers = await Promise.all([1, 2].map(() => attempt(site.get(site.digest))))

    expect(answers.filter(isWhole)).toEqual([])
    fault[Symbol.dispose]()
    await expectKeptNow(site, site.digest)
  })

  test('and a connection that breaks: the client does not notice', async () => {
    await using site = await startFull(4 * MiB)
    // The first as the disk fills up, the others behind it.
    site.upstream.fault({ on: blobGet, times: 4, resetAt: 3 * MiB })

    const answer = await site.get(site.digest)

    expect(answer).toMatchObject({ status: 200, complete: true, sha256: site.digest })
    await expectKeptNow(site, site.digest)
  })

  test('with as many clients past it as fills are allowed: the next ones are told 503', async () => {
    const road = sluice()
    const cache = { kind: 'cache', fills: { all: 3, perUpstream: 3, perClient: 3 } }
    const policy = { registry: { timeouts: { head: '2s', idle: '30s' } }, more: [cache] }
    await using site = await startFull(6 * MiB, { upstream: { line: road }, policy })
    const blobs = ['a', 'b', 'c', 'd', 'e'].map((mark) =>
      site.upstream.addBlob(repository, Buffer.concat([bytes, Buffer.from(mark)])),
    )
    road.close(24 * MiB)
    const served = blobs
      .slice(0, 3)
      .map((digest) => site.get(digest, { signal: AbortSignal.timeout(25_000) }))
    await Promise.race([road.dry(), Promise.all(served)])
    await expect.poll(() => site.edge.metrics(skipped)).toBeGreaterThanOrEqual(3)
    // Of the fills that were given up none is left; these are the clients' own.
    await expect.poll(() => site.upstream.bodies.now).toBe(3)

    const refused = await Promise.all(blobs.slice(3).map((digest) => site.get(digest, { keep: true })))

    expect(refused.map(({ status }) => status)).toEqual([503, 503])
    for (const { body } of refused)
      expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
    await expectCachedGoesOn(site)
    road.open()
    expect((await Promise.all(served)).map(({ complete, sha256 }) => complete && sha256)).toEqual(
      blobs.slice(0, 3),
    )
    await expectKeptNow(site, site.digest)
  })
})
