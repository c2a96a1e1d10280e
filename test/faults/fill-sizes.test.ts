import { describe, expect, test } from 'vitest'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { startUpstream } from '../support/upstream.ts'
import { attempt, type FaultSite, isWhole, repository, startSite } from './support/site.ts'
import { partsIn } from './support/stored.ts'

const MiB = 1024 * 1024
const blobGet = { kind: 'blob', method: 'GET' } as const

/** An image whose one layer is `digest`, said to have `size` bytes. */
async function publish({ upstream, askTag }: FaultSite, digest: string, size: number): Promise<void> {
  const config = upstream.addBlob(repository, Buffer.from('{}'))
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: 2 },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size }],
  }
  upstream.addManifest(repository, '1', Buffer.from(JSON.stringify(manifest)), mediaTypes.ociManifest)
  expect((await askTag('1')).status).toBe(200)
}

describe('a layer that is said to have no bytes', () => {
  test('is given when that is so', async () => {
    await using site = await startSite()
    const digest = site.upstream.addBlob(repository, Buffer.alloc(0))
    await publish(site, digest, 0)
    expect(await site.ask(`blobs/${digest}`)).toMatchObject({
      status: 200,
      complete: true,
      bytes: 0,
      sha256: digest,
    })
  })

  test('is refused when it has some, and holds nobody up', async () => {
    await using site = await startSite()
    const digest = site.upstream.addBlob(repository, pseudoRandomBytes(5000, 'some'))
    await publish(site, digest, 0)
    expect((await site.ask(`blobs/${digest}`)).status).toBe(503)
    await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)
    expect(await partsIn(site.edge.data)).toEqual([])
  })
})

test('an upstream that sent more than it later says there is costs its client, and nothing without end', async () => {
  await using site = await startSite()
  const bytes = pseudoRandomBytes(5 * MiB, 'true')
  const digest = site.upstream.addBlob(repository, bytes)
  const junk = { body: pseudoRandomBytes(13 * MiB, 'junk'), chunked: true, bytesPerSecond: 100 * MiB }
  site.upstream.fault({ on: blobGet, times: 1, ...junk, truncateAt: 12 * MiB })

  expect(isWhole(await attempt(site.ask(`blobs/${digest}`)))).toBe(false)
  await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)

  expect(site.upstream.count(blobGet)).toBeLessThan(5)
  expect(await site.ask(`blobs/${digest}`)).toMatchObject({ status: 200, complete: true, sha256: digest })
})

test('a layer goes on from another url of its registry, which has another name for the same bytes', async () => {
  await using second = await startUpstream()
  const bytes = pseudoRandomBytes(16 * MiB, 'urls')
  const digest = second.addBlob(repository, bytes)
  second.fault({ on: blobGet, etag: '"second"' })
  await using site = await startSite({
    policy: ({ url }) => ({ registry: { url: undefined, urls: [url, second.url], ns: 'docker.io' } }),
  })
  site.upstream.addBlob(repository, bytes)
  site.upstream.fault({ on: blobGet, etag: '"first"', bytesPerSecond: 100 * MiB, truncateAt: 10 * MiB })

  const answer = await site.ask(`blobs/${digest}`)

  expect(answer).toMatchObject({ status: 200, complete: true, sha256: digest })
  expect(second.blobBytes(digest)).toBeGreaterThan(0)
  const fetched = await site.edge.metrics('outport_upstream_bytes_total')
  expect(fetched).toBeLessThanOrEqual(bytes.length * 1.01)
})

test('who waits for a layer that waits for its place is told 503, in whatever way it asks', async () => {
  const limits = { kind: 'cache', fills: { all: 1, perUpstream: 1, perClient: 1 } }
  await using site = await startSite({ policy: { more: [limits] } })
  const [slow = '', next = ''] = ['slow', 'next'].map((seed) =>
    site.upstream.addBlob(repository, pseudoRandomBytes(MiB, seed)),
  )
  site.upstream.addBlob('library/other', pseudoRandomBytes(MiB, 'next'))
  using stall = site.upstream.fault({ on: { kind: 'blob', digest: slow }, stallAt: MiB / 2 })
  const first = site.ask(`blobs/${slow}`, { keep: false })
  await stall.struck()

  const signal = AbortSignal.timeout(25_000)
  const waiting = site.ask(`blobs/${next}`, { signal })
  await expect.poll(() => site.edge.metrics('outport_fills')).toBe(2)
  const answers = await Promise.all([
    waiting,
    site.ask(`blobs/${next}`, { method: 'HEAD', signal }),
    site.ask(`../other/blobs/${next}`, { signal }),
  ])

  expect(answers.map(({ status }) => status)).toEqual([503, 503, 503])
  stall.release()
  expect((await first).complete).toBe(true)
})
