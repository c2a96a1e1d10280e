import { describe, expect, test } from 'vitest'
import type { Fetched } from '../support/fetch-blob.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import type { FaultEffects, SeenRequest } from '../support/upstream.ts'
import { attempt, type FaultSite, isWhole, repository, startSite } from './support/site.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const size = 12_000_000
const bytes = pseudoRandomBytes(size, 'range lies')
const otherBytes = pseudoRandomBytes(size, 'other bytes')
const broken = 5_000_000

/** What upstream makes of a request with a `Range`. */
const lies: Record<string, FaultEffects | ((from: number) => FaultEffects)> = {
  'the whole': { ignoreRange: true },
  'the whole, with another ETag': { ignoreRange: true, etag: '"other"' },
  'the whole of other bytes, with another ETag': { ignoreRange: true, etag: '"other"', body: otherBytes },
  'the whole of other bytes, with the same ETag': { ignoreRange: true, body: otherBytes },
  'a part of other bytes, with another ETag': { etag: '"other"', body: otherBytes },
  'a part of other bytes, with the same ETag': { body: otherBytes },
  'a part, with another ETag': { etag: '"other"' },
  'a part, with a weak ETag': { etag: 'W/"weak"' },
  'a part that begins elsewhere': (from) => ({ contentRange: `bytes ${from + 1}-${size - 1}/${size}` }),
  'a part that begins before': { contentRange: `bytes 0-${size - 1}/${size}` },
  'a part of a smaller total': (from) => ({ contentRange: `bytes ${from}-${size - 2}/${size - 1}` }),
  'a part of a larger total': (from) => ({ contentRange: `bytes ${from}-${size - 1}/${size + 1}` }),
  'a part that ends beyond its total': (from) => ({ contentRange: `bytes ${from}-${size + 5}/${size}` }),
  'a part that ends early and sends on': (from) => ({ contentRange: `bytes ${from}-${from + 10}/${size}` }),
  'a part of an unknown total': (from) => ({ contentRange: `bytes ${from}-${size - 1}/*` }),
  'a part without Content-Range': { headers: { 'Content-Range': undefined } },
  'a part with a Content-Range that is none': { contentRange: 'bytes all of them' },
  '416': { status: 416, headers: { 'Content-Range': `bytes */${size}` } },
  '416 with another size': { status: 416, headers: { 'Content-Range': 'bytes */5' } },
  '204': { status: 204, body: Buffer.alloc(0) },
  'a multipart part': (from) => ({
    status: 206,
    headers: { 'Content-Type': 'multipart/byteranges; boundary=x', 'Content-Range': undefined },
    body: Buffer.from(
      `--x\r\nContent-Range: bytes ${from}-${size - 1}/${size}\r\n\r\n${bytes.toString('latin1', from)}\r\n--x--\r\n`,
      'latin1',
    ),
  }),
}

/** From which there is nothing to complain of. */
const honest = ['the whole', 'the whole, with another ETag', 'a part of an unknown total']

describe('an upstream that answers a Range with', () => {
  for (const [lie, effects] of Object.entries(lies)) {
    describe(lie, () => {
      test('after a break: clients have the right bytes or are cut', async () => {
        await using site = await startSite()
        const digest = site.upstream.addBlob(repository, bytes)
        site.upstream.fault({ on: { kind: 'blob' }, times: 1, truncateAt: broken })
        const end = lieFrom(site, effects)

        const answers = await Promise.all([0, 1, 2].map(() => attempt(askWhole(site, digest))))

        if (honest.includes(lie)) expect(answers.filter(isWhole)).toHaveLength(3)
        for (const answer of answers.filter(isWhole)) expect(answer?.sha256).toBe(digest)
        end()
        await expectRight(site, digest)
      })

      test('to a client’s ranges, and in a fill of four ranges at a time: the same', async () => {
        await using site = await startSite({ policy: { registry: { segments: 4 } } })
        const digest = site.upstream.addBlob(repository, bytes)
        const end = lieFrom(site, effects)

        const [whole, ...parts] = await Promise.all([
          attempt(askWhole(site, digest)),
          ...farRanges.map(({ start, end: to }) =>
            attempt(
              site.ask(`blobs/${digest}`, {
                headers: { range: `bytes=${start}-${to - 1}` },
                signal: AbortSignal.timeout(15_000),
              }),
            ),
          ),
        ])

        if (isWhole(whole)) expect(whole?.sha256).toBe(digest)
        expectProven(parts.at(-1))
        end()
        await expectRight(site, digest)
      })
    })
  }
})

const farRanges = [
  { start: 9_000_000, end: 9_100_000 },
  { start: 6_000_000, end: 6_000_001 },
  { start: size - 100_000, end: size },
]

/** A range that ends with the blob is proven: it cannot be complete with other bytes. One inside may be. */
function expectProven(answer: Fetched | undefined): void {
  if (isWhole(answer) && answer?.status === 206)
    expect(answer.body.equals(bytes.subarray(size - 100_000))).toBe(true)
}

/** @returns how to make upstream true again */
function lieFrom(site: FaultSite, lie: FaultEffects | ((from: number) => FaultEffects)): () => void {
  const faults: Disposable[] = []
  if (typeof lie === 'object') {
    faults.push(site.upstream.fault({ on: hasRange, ...lie }))
  } else {
    // Each request with its own start: the fault that fits is made when the request is looked at.
    const on = (request: SeenRequest) => {
      if (hasRange(request))
        faults.push(site.upstream.fault({ on: (each) => each === request, ...lie(startOf(request)) }))
      return false
    }
    faults.push(site.upstream.fault({ on }))
  }
  return () => {
    for (const fault of faults) fault[Symbol.dispose]()
  }
}

function hasRange({ kind, method, headers }: SeenRequest): boolean {
  return kind === 'blob' && method === 'GET' && headers.range !== undefined
}

function startOf({ headers }: SeenRequest): number {
  return Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1])
}

function askWhole(site: FaultSite, digest: string): Promise<Fetched> {
  return site.ask(`blobs/${digest}`, { keep: false, signal: AbortSignal.timeout(15_000) })
}

/** Upstream being true again, nothing of the lie is left, and the next client gets the blob. */
async function expectRight(site: FaultSite, digest: string): Promise<void> {
  await storedDigests(site.edge.data)
  expect(await askWhole(site, digest)).toMatchObject({ status: 200, complete: true, sha256: digest })
  expect(await storedDigests(site.edge.data)).toContain(digest)
  await expect.poll(() => partsIn(site.edge.data)).toEqual([])
}
