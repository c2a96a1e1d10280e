import { expect, test } from 'vitest'
import { createSlabs, type Receiver, type Slabs } from '../../src/upstream/slabs.ts'

const KiB = 1024

/** As a connection does it. */
function read(receiver: Receiver, most: number): Uint8Array {
  const chunk = receiver.room().subarray(0, most)
  receiver.took(chunk.length)
  return chunk
}

/** A connection that is past what every one begins with. */
function flowing(slabs: Slabs): Receiver {
  const receiver = slabs.receiver()
  while (receiver.room().buffer.byteLength < 512 * KiB) read(receiver, 64 * KiB)
  return receiver
}

/** All that comes into the present slab, until there is another one. */
function fillOne(receiver: Receiver): Uint8Array[] {
  const { buffer } = receiver.room()
  const chunks: Uint8Array[] = []
  while (receiver.room().buffer === buffer) chunks.push(read(receiver, 100_000))
  return chunks
}

/** The slabs that connections get from now on, until they are small again. */
function rest(slabs: Slabs): Set<ArrayBufferLike> {
  const found = new Set<ArrayBufferLike>()
  for (;;) {
    const receiver = slabs.receiver()
    read(receiver, 64 * KiB)
    const { buffer } = receiver.room()
    if (buffer.byteLength < 512 * KiB) return found
    found.add(buffer)
  }
}

test('what is read follows upon what was read before', () => {
  const receiver = createSlabs().receiver()
  const [first, second] = [read(receiver, 1000), read(receiver, 500)]
  expect(second.buffer).toBe(first.buffer)
  expect(second.byteOffset).toBe(first.byteOffset + 1000)
})

test('a connection begins with little, and all together get so much and no more', () => {
  const slabs = createSlabs()
  expect(slabs.receiver().room().byteLength).toBe(64 * KiB)
  expect(rest(slabs).size).toBe(32)
  expect(rest(slabs).size).toBe(0)
})

test('a slab is used again when all of it has come back, in whatever pieces and order', () => {
  const slabs = createSlabs()
  const chunks = fillOne(flowing(slabs))
  const pieces = chunks.flatMap((chunk) => [chunk.subarray(10), chunk.subarray(0, 10)]).reverse()
  const last = pieces.pop() as Uint8Array
  rest(slabs)
  for (const piece of pieces) slabs.giveBack(piece)
  expect(rest(slabs).size).toBe(0)
  slabs.giveBack(last)
  expect([...rest(slabs)]).toEqual([last.buffer])
})

test('a slab of which a byte is still looked at is not used again', () => {
  const slabs = createSlabs()
  const [first, ...others] = fillOne(flowing(slabs))
  rest(slabs)
  slabs.giveBack((first as Uint8Array).subarray(1))
  for (const chunk of others) slabs.giveBack(chunk)
  expect(rest(slabs).size).toBe(0)
})

test('a slab into which more may come is not used by another connection', () => {
  const slabs = createSlabs()
  const receiver = flowing(slabs)
  const chunk = read(receiver, 1000)
  rest(slabs)
  slabs.giveBack(chunk)
  expect(rest(slabs).size).toBe(0)
  expect(read(receiver, 10).byteOffset).toBe(chunk.byteOffset + 1000)
})

test('what came from elsewhere is passed over', () => {
  const slabs = createSlabs()
  slabs.giveBack(Buffer.alloc(10))
  expect(rest(slabs).size).toBe(32)
})
