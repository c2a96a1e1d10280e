import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Bandwidth, createBandwidth, throttled } from '../../src/flow/bandwidth.ts'

const never = new AbortController().signal
const yes = () => true
const no = () => false

describe('a bandwidth', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  /** Takes a chunk after the other, as a body does. @returns what it has got so far */
  function follow(bandwidth: Bandwidth, chunk: number, urgent: () => boolean): { bytes: number } {
    const got = { bytes: 0 }
    async function run(): Promise<void> {
      while (true) {
        await bandwidth.take(chunk, urgent, never)
        got.bytes += chunk
      }
    }
    void run()
    return got
  }

  test('is kept by all together, each with the same share', async () => {
    const bandwidth = createBandwidth(() => 1_000_000)
    const streams = Array.from({ length: 5 }, () => follow(bandwidth, 10_000, yes))

    await vi.advanceTimersByTimeAsync(10_000)

    const bytes = streams.map((each) => each.bytes)
    const all = bytes.reduce((sum, each) => sum + each, 0)
    expect(all).toBeGreaterThan(9_900_000)
    expect(all).toBeLessThan(10_100_000)
    expect(Math.max(...bytes) - Math.min(...bytes)).toBeLessThanOrEqual(10_000)
  })

  test('is not saved up while nobody takes of it', async () => {
    const bandwidth = createBandwidth(() => 1_000_000)
    await vi.advanceTimersByTimeAsync(60_000)
    const stream = follow(bandwidth, 10_000, yes)

    await vi.advanceTimersByTimeAsync(1_000)

    expect(stream.bytes).toBeLessThan(1_100_000)
  })

  test('is first for whom somebody waits, also when he comes later', async () => {
    const bandwidth = createBandwidth(() => 1_000_000)
    let hasReader = false
    const warming = follow(bandwidth, 10_000, no)
    const other = follow(bandwidth, 10_000, () => hasReader)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(Math.abs(warming.bytes - other.bytes)).toBeLessThanOrEqual(10_000)
    const before = { warming: warming.bytes, other: other.bytes }

    hasReader = true
    await vi.advanceTimersByTimeAsync(1_000)

    expect(warming.bytes - before.warming).toBeLessThanOrEqual(20_000)
    expect(other.bytes - before.other).toBeGreaterThan(900_000)
  })

  test('follows its rate while it is waited for: what has passed is worked off at the new one', async () => {
    let rate = 1_000
    const bandwidth = createBandwidth(() => rate)
    const stream = follow(bandwidth, 10_000, yes)
    await vi.advanceTimersByTimeAsync(500)
    expect(stream.bytes).toBe(10_000)

    rate = 1_000_000
    await vi.advanceTimersByTimeAsync(2_000)
    expect(stream.bytes).toBeGreaterThan(1_000_000)
    expect(stream.bytes).toBeLessThan(2_000_000)

    rate = 10_000
    await vi.advanceTimersByTimeAsync(1_000)
    const before = stream.bytes
    await vi.advanceTimersByTimeAsync(10_000)
    expect(stream.bytes - before).toBe(100_000)
  })

  test('of no limit lets everything pass at once, and may end', async () => {
    let rate = Number.POSITIVE_INFINITY
    const bandwidth = createBandwidth(() => rate)
    for (let count = 0; count < 100; count++) await bandwidth.take(1e9, yes, never)
    expect(vi.getTimerCount()).toBe(0)

    rate = 1_000
    const stream = follow(bandwidth, 1_000, yes)
    await vi.advanceTimersByTimeAsync(10_500)
    expect(stream.bytes).toBe(11_000)
  })

  test('is not kept from others by one who leaves', async () => {
    const bandwidth = createBandwidth(() => 1_000)
    const leaving = new AbortController()
    await bandwidth.take(10_000, yes, never)
    const left = bandwidth.take(1_000_000, yes, leaving.signal)
    const next = bandwidth.take(1, yes, never)
    leaving.abort(new Error('gone'))

    await expect(left).rejects.toThrow('gone')
    await vi.advanceTimersByTimeAsync(10_000)
    await next
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a throttled body', () => {
  const bytes = Buffer.alloc(1_000_000, 'x')

  test('is the same, and is not read ahead', async () => {
    let read = 0
    const body = Readable.from(
      (function* () {
        for (let at = 0; at < bytes.length; at += 10_000) {
          read = at + 10_000
          yield bytes.subarray(at, read)
        }
      })(),
      { objectMode: false, highWaterMark: 10_000 },
    )
    let taken = 0
    const slow: Bandwidth = {
      async take(count) {
        taken += count
        expect(read - taken).toBeLessThanOrEqual(30_000)
      },
    }
    expect((await buffer(throttled(body, slow, yes))).equals(bytes)).toBe(true)
    expect(taken).toBe(bytes.length)
  })

  test('passes in small pieces, so that who is urgent waits for no large one', async () => {
    const counts: number[] = []
    const noting: Bandwidth = { take: async (count) => void counts.push(count) }
    expect((await buffer(throttled(Readable.from([bytes, bytes]), noting, yes))).length).toBe(2_000_000)
    expect(Math.max(...counts)).toBeLessThanOrEqual(64 * 1024)
  })

  test('breaks as its body breaks', async () => {
    const body = new Readable({ read() {} })
    body.on('error', () => {})
    const stream = throttled(
      body,
      createBandwidth(() => 1e9),
      yes,
    )
    const reading = buffer(stream)
    body.push(bytes)
    body.destroy(new Error('reset'))
    await expect(reading).rejects.toThrow('reset')
  })

  test('ends its body when it is left, also while it waits', async () => {
    const body = Readable.from([bytes, bytes], { objectMode: false })
    body.on('error', () => {})
    const stream = throttled(
      body,
      createBandwidth(() => 1),
      yes,
    )
    stream.on('error', () => {})
    const gone = once(body, 'close')
    await once(stream.resume(), 'data')
    stream.destroy()
    await gone
  })
})
