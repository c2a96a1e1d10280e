import { expect, test } from 'vitest'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { blobBytesOf, blobsOf, buildImage } from '../support/images.ts'
import { line } from '../support/line.ts'
import { pull } from '../support/pull.ts'
import { openDescriptors } from './support/descriptors.ts'
import { repository, startSite } from './support/site.ts'
import { soakSeconds } from './support/soak.ts'
import { storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024

test('a thousand pulls of one cold image at once cost upstream one', { timeout: 60_000 }, async () => {
  const image = buildImage({ layers: [100_000, 120_000, 140_000, 160_000, 180_000] })
  await using site = await startSite({ upstream: { line: line({ bytesPerSecond: 2 * MiB }) } })
  site.upstream.addImage(repository, '1', image)
  const before = await openDescriptors(site.edge.pid)

  const pulls = await Promise.allSettled(
    Array.from({ length: 1000 }, () => pull(site.edge.url, repository, '1')),
  )

  expect(pulls.flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []))).toEqual([])
  expect(site.upstream.blobBytes()).toBeLessThanOrEqual(1.01 * blobBytesOf(image))
  for (const { digest } of blobsOf(image)) expect(site.upstream.count({ digest, method: 'GET' })).toBe(1)
  expect(site.upstream.count({ kind: 'manifest', method: 'GET' })).toBe(1)
  await expect.poll(() => openDescriptors(site.edge.pid)).toBeLessThan(before + 30)
  expect(await site.edge.metrics('outport_fills')).toBe(0)
  expect(new Set(await storedDigests(site.edge.data))).toEqual(
    new Set([image.manifest.digest, ...blobsOf(image).map(({ digest }) => digest)]),
  )
})

test('thousands of cold tags, a quarter of them unknown, leave nothing behind', {
  timeout: (soakSeconds + 60) * 1000,
}, async () => {
  const rounds = soakSeconds > 0 ? 10_000 : 2_000
  await using site = await startSite({
    env: { OUTPORT_DURABILITY: 'fast' },
    // What is held on to would not fit.
    edge: { nodeArgs: ['--max-old-space-size=128'] },
  })
  const isKnown = (at: number) => at % 4 !== 0
  for (let at = 0; at < rounds; at++) {
    if (isKnown(at)) site.upstream.addManifest(repository, `t${at}`, manifestOf(at), mediaTypes.ociManifest)
  }
  const before = await openDescriptors(site.edge.pid)
  const statuses = { known: new Set<number>(), unknown: new Set<number>() }
  const queue = Array.from({ length: rounds }, (_, at) => at).values()
  let most = 0
  let half = 0

  async function work(): Promise<void> {
    for (const at of queue) {
      const { status } = await site.askTag(`t${at}`)
      statuses[isKnown(at) ? 'known' : 'unknown'].add(status)
      if (at % 500 === 0) most = Math.max(most, await openDescriptors(site.edge.pid))
      if (at === rounds / 2) half = await site.edge.rss()
    }
  }
  await Promise.all(Array.from({ length: 50 }, work))

  expect(statuses).toEqual({ known: new Set([200]), unknown: new Set([404]) })
  expect(await site.edge.metrics('outport_upstream_down')).toBe(0)
  expect(await site.edge.metrics('outport_upstream_requests_total', { outcome: 'down' })).toBe(0)
  expect(most).toBeLessThan(before + 50 + 3 * 50)
  await expect.poll(() => openDescriptors(site.edge.pid)).toBeLessThan(before + 30)
  expect(await site.edge.rss()).toBeLessThan(half + 48 * MiB)
})

function manifestOf(at: number): Buffer {
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: `sha256:${at.toString(16).padStart(64, '0')}`,
    size: 2,
  }
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] }),
  )
}
