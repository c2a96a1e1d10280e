import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { type Fetched, responseTo } from '../support/fetch-blob.ts'
import { line } from '../support/line.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { partsOfMultipart } from './support/multipart.ts'
import { readSlowly } from './support/readers.ts'
import { repository, startSite } from './support/site.ts'
import { type Chance, soak, soakSeconds } from './support/soak.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024

describe('ranges of any shape', { timeout: (soakSeconds + 40) * 1000 }, () => {
  const size = 16 * MiB
  const bytes = pseudoRandomBytes(size, 'ranges')
  const upstream = { line: line({ bytesPerSecond: 16 * MiB }) }

  test.each([
    true,
    false,
  ])('of a blob that is on its way, with somebody who asks for the whole: %s', async (hasReader) => {
    await soak(1, async (chance) => {
      await using site = await startSite({ upstream })
      const digest = site.upstream.addBlob(repository, bytes)
      const path = `blobs/${digest}`
      const signal = AbortSignal.timeout(30_000)
      const asked = Array.from({ length: 60 }, () => rangeBy(chance, size))
      const whole = hasReader ? [site.ask(path, { keep: false, signal })] : []

      const queue = asked.values()
      async function client(): Promise<void> {
        for (const range of queue) {
          const answer = await site.ask(path, { headers: { range: range.header }, signal })
          expectAnswer(answer, range, bytes)
        }
      }
      await Promise.all(Array.from({ length: 8 }, client))

      for (const answer of [...(await Promise.all(whole)), await site.ask(path, { keep: false })])
        expect(answer).toMatchObject({ status: 200, complete: true, sha256: digest })
      expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(size * 1.05)
      await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)
      expect(await storedDigests(site.edge.data)).toContain(digest)
      expect(await partsIn(site.edge.data)).toEqual([])
    })
  })
})

test.each([
  16, 100,
])('four open-ended ranges at once, each left after its quarter, then the whole, over %i MiB/s', async (rate) => {
  const size = 32 * MiB
  const bytes = pseudoRandomBytes(size, 'quarters')
  await using site = await startSite({ upstream: { line: line({ bytesPerSecond: rate * MiB }) } })
  const digest = site.upstream.addBlob(repository, bytes)
  const url = `${site.edge.url}/v2/${repository}/blobs/${digest}`
  const quarter = size / 4

  const quarters = await Promise.all(
    [0, 1, 2, 3].map((at) =>
      readSlowly(url, bytes, {
        headers: { range: `bytes=${at * quarter}-` },
        from: at * quarter,
        leaveAt: quarter,
      }),
    ),
  )
  for (const each of quarters) {
    expect(each).toMatchObject({ status: 206, isRight: true })
    expect(each.bytes).toBeGreaterThanOrEqual(quarter)
  }
  expect(await site.ask(`blobs/${digest}`, { keep: false })).toMatchObject({ complete: true, sha256: digest })

  expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(size * 1.05)
})

describe('near the end of a cold blob on a slow line', () => {
  const size = 32 * MiB
  const bytes = pseudoRandomBytes(size, 'far')
  const upstream = { line: line({ bytesPerSecond: 8 * MiB }) }

  test.each([
    ['asked for first', false],
    ['asked for while the whole is on its way', true],
  ])('a range is answered whole while most of the blob is not here: %s', async (_, hasReader) => {
    await using site = await startSite({ upstream })
    const digest = site.upstream.addBlob(repository, bytes)
    const path = `blobs/${digest}`
    const start = size - MiB
    const whole = hasReader ? site.ask(path, { keep: false }) : undefined
    if (hasReader) await site.upstream.seen({ kind: 'blob' })

    const far = await site.ask(path, { headers: { range: `bytes=${start}-${start + 262_143}` } })
    const sentByThen = site.upstream.blobBytes(digest)

    expect(far).toMatchObject({ status: 206, complete: true, bytes: 262_144 })
    expect(far.headers).toMatchObject({
      'content-range': `bytes ${start}-${start + 262_143}/${size}`,
      'content-length': '262144',
      'docker-content-digest': digest,
    })
    expect(far.body.equals(bytes.subarray(start, start + 262_144))).toBe(true)
    expect(sentByThen).toBeLessThan(size / 2)
    expect((await (whole ?? site.ask(path, { keep: false }))).sha256).toBe(digest)
    expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(size * 1.05)
  })

  test('a range that ends with the blob begins at once, and ends when the blob is proven', async () => {
    await using site = await startSite({ upstream })
    const digest = site.upstream.addBlob(repository, bytes)
    const url = `${site.edge.url}/v2/${repository}/blobs/${digest}`
    const length = 300_000

    const response = await responseTo(url, { headers: { range: `bytes=-${length}` } })
    expect(response.statusCode).toBe(206)
    expect(response.headers['content-range']).toBe(`bytes ${size - length}-${size - 1}/${size}`)
    const first = await firstOf(response)
    expect(site.upstream.blobBytes(digest)).toBeLessThan(size / 2)
    expect((await site.ask(`blobs/${digest}`, { keep: false })).sha256).toBe(digest)
    const body = Buffer.concat([first, await buffer(response)])
    expect(body.equals(bytes.subarray(size - length))).toBe(true)
  })
})

async function firstOf(response: IncomingMessage): Promise<Buffer> {
  await once(response, 'readable')
  return response.read()
}

interface AskedRange {
  header: string
  /** `undefined`: such a header must be ignored. */
  parts: { start: number; end: number }[] | undefined
}

/** A `Range` header of some shape, and what RFC 9110 §14.1.2 makes of it. */
function rangeBy(chance: Chance, size: number): AskedRange {
  const part = (start: number, end: number, header: string): AskedRange => ({
    header: `bytes=${header}`,
    parts: start < size && end > start ? [{ start, end: Math.min(size, end) }] : [],
  })
  const a = chance.below(size)
  const length = 1 + chance.below(chance.pick([10, 10_000, size]))
  const shapes: (() => AskedRange)[] = [
    () => part(0, length, `0-${length - 1}`),
    () => part(Math.max(0, size - length), size, `-${length}`),
    () => part(a, a + length, `${a}-${a + length - 1}`),
    () => part(a, size, `${a}-`),
    () => part(a, a + 1, `${a}-${a}`),
    () => part(size - 1, size, chance.pick(['-1', `${size - 1}-`, `${size - 1}-${size + 5}`])),
    () => part(size, size, chance.pick([`${size}-`, `${size + a}-${size + a + 5}`, '-0'])),
    () => part(0, size, `-${size + length}`),
    () => ({
      header: chance.pick([`bytes=${a + 1}-${a}`, 'bytes=a-b', 'lines=1-2', 'bytes=-']),
      parts: undefined,
    }),
    () => severalOf([0, 1, 2].map(() => rangeBy(chance, size))),
  ]
  return shapes[chance.below(shapes.length)]?.() ?? part(0, 1, '0-0')
}

function severalOf(ranges: AskedRange[]): AskedRange {
  const specs = ranges.filter(({ header }) => /^bytes=[-\d]+$/.test(header))
  const isIgnored = specs.some(({ parts }) => parts === undefined) || specs.length === 0
  return {
    header: `bytes=${specs.map(({ header }) => header.slice('bytes='.length)).join(', ')}`,
    parts: isIgnored ? undefined : specs.flatMap(({ parts }) => parts ?? []),
  }
}

function expectAnswer(answer: Fetched, { header, parts }: AskedRange, bytes: Buffer): void {
  const { status, headers, body } = answer
  const size = bytes.length
  const [only, ...others] = parts ?? []
  expect(answer.complete, header).toBe(true)
  if (parts && !only) {
    expect({ status, range: headers['content-range'] }, header).toEqual({
      status: 416,
      range: `bytes */${size}`,
    })
    return
  }
  if (status === 200) {
    expect(parts === undefined || others.length > 0, header).toBe(true)
    expect(body.equals(bytes), header).toBe(true)
    return
  }
  expect(status, header).toBe(206)
  expect(headers['content-length'], header).toBe(String(body.length))
  const got =
    others.length > 0
      ? partsOfMultipart(headers['content-type'], body)
      : [{ range: headers['content-range'], body }]
  expect(
    got.map(({ range }) => range),
    header,
  ).toEqual(parts?.map(({ start, end }) => `bytes ${start}-${end - 1}/${size}`))
  for (const [at, { start, end }] of (parts ?? []).entries())
    expect(got[at]?.body.equals(bytes.subarray(start, end)), header).toBe(true)
}
