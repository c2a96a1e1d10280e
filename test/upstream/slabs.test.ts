import { expect, test } from 'vitest'
import { createSlabs, type Receiver, type Slabs } from '../../src/upstream/slabs.ts'

/** As a connection does it. */
function read(receiver: Receiver, most = Number.POSITIVE_INFINITY): Uint8Array {
  const room = receiver.room()
  const chunk = room.subarray(0, most)
  receiver.took(chunk.length)
  return chunk
}

/** Reads until there is another slab. */
function fillOne(receiver: Receiver, step: number): Uint8Array[] {
  const chunks = [read(receiver, step)]
  for (let next = read(receiver, step); ; next = read(receiver, step)) {
    chunks.push(next)
    if (next.buffer !== chunks[0]?.buffer) return chunks
  }
}

function memoryOf(slabs: Slabs): ArrayBufferLike {
  return slabs.receiver().room().buffer
}

test('what is read follows upon what was read before', () => {
  const receiver = createSlabs().receiver()
  const [first, second] = [read(receiver, 1000), read(receiver, 500)]
  expect(second.buffer).toBe(first.buffer)
  expect(second.byteOffset).toBe(first.byteOffset + 1000)
})

test('a slab is used again when all of it has come back, in whatever pieces and order', () => {
  const slabs = createSlabs()
  const chunks = fillOne(slabs.receiver(), 100_000).slice(0, -1)
  const pieces = chunks.flatMap((chunk) => [chunk.subarray(10), chunk.subarray(0, 10)]).reverse()
  const last = pieces.pop()
  for (const piece of pieces) slabs.giveBack(piece)
  expect(memoryOf(slabs)).not.toBe(chunks[0]?.buffer)
  slabs.giveBack(last as Uint8Array)
  expect(memoryOf(slabs)).toBe(chunks[0]?.buffer)
})

test('a slab of which a byte is still looked at is not used again', () => {
  const slabs = createSlabs()
  const chunks = fillOne(slabs.receiver(), 100_000).slice(0, -1)
  for (const chunk of chunks) slabs.giveBack(chunk.subarray(chunk === chunks[1] ? 1 : 0))
  for (let at = 0; at < 20; at++) expect(memoryOf(slabs)).not.toBe(chunks[0]?.buffer)
})

test('a slab into which more may come is not used by another connection', () => {
  const slabs = createSlabs()
  const receiver = slabs.receiver()
  const chunk = read(receiver, 1000)
  slabs.giveBack(chunk)
  expect(memoryOf(slabs)).not.toBe(chunk.buffer)
  expect(read(receiver, 10).byteOffset).toBe(chunk.byteOffset + 1000)
})

test('what came from elsewhere is passed over', () => {
  const slabs = createSlabs()
  slabs.giveBack(Buffer.alloc(10))
  expect(memoryOf(slabs).byteLength).toBeGreaterThan(10)
})
