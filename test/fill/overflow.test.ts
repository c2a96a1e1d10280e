import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { createOverflow } from '../../src/fill/overflow.ts'
import { createSlots } from '../../src/flow/slots.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'

const bytes = pseudoRandomBytes(10_000, 'overflow')
const signal = new AbortController().signal

function readerFrom(landed: number, content: Buffer) {
  const overflow = createOverflow({
    digest: digestOf(bytes),
    size: bytes.length,
    seen: {
      offset: landed,
      hash: createHash('sha256').update(content.subarray(0, landed)),
      refused: undefined,
    },
    source: {
      open: async ({ offset }) => ({
        offset,
        ignoredRange: false,
        body: Readable.from([content.subarray(offset)]),
        giveBack: () => {},
      }),
      latencyMs: () => undefined,
      segments: () => 1,
    },
    slots: createSlots(1),
    onBytes: () => {},
  })
  return overflow.reader()
}

test.each([
  0, 100, 6000, 9900, 10_000,
])('with %i bytes in the file, the last page waits for the proof', async (landed) => {
  const wrong = Buffer.from(bytes)
  wrong[3] = (wrong[3] ?? 0) ^ 1
  const reader = readerFrom(landed, wrong)
  let readable = 0
  const toTheEnd = async () => {
    while (readable < bytes.length) readable = await reader.readableFrom(readable, signal)
  }

  await expect(toTheEnd()).rejects.toThrow('something else')

  expect(readable).toBeLessThanOrEqual(bytes.length - 4096)
})

test.each([0, 6000, 10_000])('with %i bytes in the file, the rest comes from upstream', async (landed) => {
  const reader = readerFrom(landed, bytes)
  const got: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const readable = await reader.readableFrom(at, signal)
    for (; at < readable && at < reader.start; at = Math.min(readable, reader.start)) {
      got.push(bytes.subarray(at, Math.min(readable, reader.start)))
    }
    if (at >= readable) continue
    const buffer = Buffer.alloc(readable - at)
    const count = reader.read(buffer, buffer.length, at)
    got.push(buffer.subarray(0, count))
    at += count
  }
  expect(Buffer.concat(got).equals(bytes)).toBe(true)
})
