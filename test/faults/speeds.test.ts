import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import { responseTo } from '../support/fetch-blob.ts'
import { line } from '../support/line.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { repository, startSite } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024

test('over a line of 5 Mbit/s a fast client gets each piece as it comes', async () => {
  const bytes = pseudoRandomBytes(2 * MiB, 'slow line')
  await using site = await startSite({ upstream: { line: line({ bytesPerSecond: 5e6 / 8 }) } })
  const digest = site.upstream.addBlob(repository, bytes)
  const behind: number[] = []

  const answer = await site.ask(`blobs/${digest}`, {
    keep: false,
    onProgress: (count) => behind.push(site.upstream.blobBytes(digest) - count),
  })

  expect(answer).toMatchObject({ complete: true, sha256: digest })
  expect(behind.length).toBeGreaterThan(8)
  // At every moment but those before its end: what upstream has handed over is with the client, save what is under way.
  const typical = behind.toSorted((a, b) => a - b)[behind.length >> 1]
  expect(typical).toBeLessThan(MiB / 4)
})

test('a client that takes nothing slows no fill, and what it has yet to take stays on the disk', {
  timeout: 60_000,
}, async () => {
  const bytes = pseudoRandomBytes(160 * MiB, 'fast line')
  await using site = await startSite()
  const digest = site.upstream.addBlob(repository, bytes)
  const url = `${site.edge.url}/v2/${repository}/blobs/${digest}`
  const before = await site.edge.rss()
  const slow = await responseTo(url)
  slow.pause()

  const fast = await site.ask(`blobs/${digest}`, { keep: false })
  await expect.poll(() => site.edge.metrics('outport_fills'), { timeout: 20_000 }).toBe(0)

  expect(fast).toMatchObject({ complete: true, sha256: digest })
  expect(slow.readableFlowing).toBe(false)
  expect((await site.edge.rss()) - before).toBeLessThan(0.8 * bytes.length)
  const hash = createHash('sha256')
  await Promise.all([pipeline(slow, hash), once(slow, 'end')])
  expect(`sha256:${hash.digest('hex')}`).toBe(digest)
  expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(1.01 * bytes.length)
  expect(await storedDigests(site.edge.data)).toContain(digest)
})

test('three hundred clients that take nothing hold up no other at the same address', {
  timeout: 60_000,
}, async () => {
  const bytes = pseudoRandomBytes(32 * MiB, 'many')
  await using site = await startSite()
  const digest = site.upstream.addBlob(repository, bytes)
  await site.ask(`blobs/${digest}`, { keep: false })
  const leave = new AbortController()
  const url = `${site.edge.url}/v2/${repository}/blobs/${digest}`
  for (let at = 0; at < 300; at++) {
    const stalled = await responseTo(url, { signal: leave.signal })
    stalled.on('error', () => {}).pause()
  }

  const others = await Promise.all([0, 1, 2].map(() => site.ask(`blobs/${digest}`, { keep: false })))

  for (const answer of others) expect(answer).toMatchObject({ complete: true, sha256: digest })
  leave.abort()
})
