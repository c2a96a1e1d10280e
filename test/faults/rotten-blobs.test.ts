import { appendFile, open, readdir, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { extentBytes } from '../../src/blobs/extents.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { partsOfMultipart } from './support/multipart.ts'
import { type FaultSite, repository, startSite } from './support/site.ts'
import { flip, pathOf, storedDigests } from './support/stored.ts'

const bytes = pseudoRandomBytes(14_000_000, 'rotten')
const rotten = 'outport_blobs_rotten_total'
/** The extent that is wrong, and the end, for which upstream is asked in any case. */
const fetchedAgain = 2 * extentBytes

/** A site whose node has the blob from an earlier life. */
async function siteWith(content: Buffer): Promise<{ site: FaultSite; digest: string; file: string }> {
  const site = await startSite()
  const digest = site.upstream.addBlob(repository, content)
  await site.ask(`blobs/${digest}`)
  await site.edge.restart()
  site.upstream.clear()
  return { site, digest, file: pathOf(site.edge.data, digest) }
}

async function erase(file: string, at: number, count: number): Promise<void> {
  await using handle = await open(file, 'r+')
  await handle.write(Buffer.alloc(count), 0, count, at)
}

describe('after a restart', () => {
  test('a range, several ranges and the whole are answered from the disk, right', async () => {
    const { site, digest } = await siteWith(bytes)
    await using _ = site
    const one = await site.ask(`blobs/${digest}`, { headers: { range: 'bytes=9000000-9000009' } })
    expect([one.status, one.complete, one.headers['x-outport-cache']]).toEqual([206, true, 'hit'])
    expect(bytes.subarray(9_000_000, 9_000_010).equals(one.body)).toBe(true)

    const several = await site.ask(`blobs/${digest}`, {
      headers: { range: 'bytes=13000000-13000009,5000000-9999999' },
    })
    expect([several.status, several.complete]).toEqual([206, true])
    const parts = partsOfMultipart(several.headers['content-type'], several.body)
    expect(parts.map(({ range }) => range)).toEqual([
      'bytes 13000000-13000009/14000000',
      'bytes 5000000-9999999/14000000',
    ])
    expect(bytes.subarray(13_000_000, 13_000_010).equals(parts[0]?.body ?? Buffer.alloc(0))).toBe(true)
    expect(bytes.subarray(5_000_000, 10_000_000).equals(parts[1]?.body ?? Buffer.alloc(0))).toBe(true)

    expect(await site.ask(`blobs/${digest}`)).toMatchObject({ complete: true, sha256: digest })
    expect(site.upstream.count({ kind: 'blob' })).toBe(0)
    expect(await site.edge.metrics(rotten)).toBe(0)
  })

  test('a range that lies before what is spoilt is right, the whole is cut, and then fetched again', async () => {
    const { site, digest, file } = await siteWith(bytes)
    await using _ = site
    await flip(file, 6_000_000)

    const before = await site.ask(`blobs/${digest}`, { headers: { range: 'bytes=1000000-1000009' } })
    expect(bytes.subarray(1_000_000, 1_000_010).equals(before.body)).toBe(true)
    const whole = await site.ask(`blobs/${digest}`)
    expect([whole.status, whole.complete]).toEqual([200, false])
    expect(bytes.subarray(0, whole.bytes).equals(whole.body)).toBe(true)

    expect(await site.ask(`blobs/${digest}`)).toMatchObject({ complete: true, sha256: digest })
    expect(await site.edge.metrics(rotten)).toBe(1)
    expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(fetchedAgain)
  })

  test.each<[string, (file: string) => Promise<unknown>, number]>([
    ['in two places', async (file) => [await flip(file, 5_000_000), await flip(file, 9_000_000)], 2],
    ['by a page of zeros across two extents', (file) => erase(file, extentBytes - 100, 200), 2],
    ['by losing its end', (file) => truncate(file, 13_000_000), 2],
    ['by a tail', (file) => appendFile(file, 'tail'), 1],
    [
      'and so are the tags of its extents',
      async (file) => [await flip(file, 0), await rm(`${file}.extents`)],
      26,
    ],
    ['and so is one of these', async (file) => [await flip(file, 0), await flip(`${file}.extents`, 70)], 2],
  ])('what was spoilt %s is fetched again, and little else', async (_, spoil, extents) => {
    const { site, digest, file } = await siteWith(bytes)
    await using _site = site
    await spoil(file)
    await site.ask(`blobs/${digest}`)

    await expect.poll(() => site.ask(`blobs/${digest}`)).toMatchObject({ complete: true, sha256: digest })
    expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual((extents + 1) * extentBytes)
    expect(await storedDigests(site.edge.data)).toEqual([digest])
    expect(await readdir(join(site.edge.data, 'quarantine'))).toEqual([])
  })
})

describe.each([
  { what: 'large', content: bytes },
  { what: 'small', content: bytes.subarray(0, 70_000) },
  { what: 'kept in memory', content: bytes.subarray(0, 2000) },
])('a blob ($what) that is spoilt where the answer begins', ({ content }) => {
  test('comes from upstream with the same answer, which says so, and the operator hears of it', async () => {
    const { site, digest, file } = await siteWith(content)
    await using _ = site
    await flip(file, 1000)

    const answer = await site.ask(`blobs/${digest}`)

    expect(answer).toMatchObject({ status: 200, complete: true, sha256: digest })
    expect(answer.headers['x-outport-cache']).toBe('fill')
    expect(await site.edge.metrics(rotten)).toBe(1)
    expect(await site.edge.logged(({ msg }) => msg === 'a stored blob had other bytes')).toMatchObject({
      level: 'error',
      digest,
    })
    const again = await site.ask(`blobs/${digest}`)
    expect([again.sha256, again.headers['x-outport-cache']]).toEqual([digest, 'hit'])
    expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(Math.min(content.length, fetchedAgain))
    expect(await readdir(join(site.edge.data, 'quarantine'))).toEqual([])
  })

  test('is an error while upstream is down, never other bytes, and lies in quarantine until it is back', async () => {
    const { site, digest, file } = await siteWith(content)
    await using _ = site
    await appendFile(file, 'tail')
    await site.upstream.stop()

    expect((await site.ask(`blobs/${digest}`)).status).toBe(503)
    expect(await readdir(join(site.edge.data, 'quarantine'))).toEqual([digest.replace(':', '-')])

    await site.upstream.restart()
    const asked = () => site.ask(`blobs/${digest}`)
    await expect.poll(asked, { timeout: 20_000 }).toMatchObject({ status: 200, sha256: digest })
  })
})
