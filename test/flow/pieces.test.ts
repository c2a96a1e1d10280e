import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { createPieces } from '../../src/flow/pieces.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'

test.each([
  [[1, 1, 1]],
  [[1023, 1024, 1, 0, 70_000, 5, 5, 2000]],
  [Array.from({ length: 3000 }, (_, at) => (at * 37) % 1300)],
])('what is added comes out in its order: %#', (sizes) => {
  const pieces = createPieces()
  const whole = Buffer.from(
    pseudoRandomBytes(
      sizes.reduce((sum, size) => sum + size),
      'pieces',
    ),
  )
  let at = 0
  for (const size of sizes) {
    const piece = Buffer.from(whole.subarray(at, at + size))
    pieces.add(piece)
    if (size < 1024) piece.fill(0)
    at += size
  }
  expect(pieces.bytes).toBe(whole.length)
  expect(Buffer.concat(pieces.take()).equals(whole)).toBe(true)
  expect([pieces.bytes, pieces.take()]).toEqual([0, []])
})

test('what was taken stays as it was when more is added', () => {
  const pieces = createPieces()
  pieces.add(Buffer.from('first'))
  const taken = pieces.take()
  pieces.add(Buffer.from('second'))
  expect(Buffer.concat(taken).toString()).toBe('first')
  expect(Buffer.concat(pieces.take()).toString()).toBe('second')
})

test('single bytes take no more than they are', () => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const used = () => {
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const pieces = createPieces()
  const before = used()
  for (let count = 0; count < 200_000; count++) pieces.add(Buffer.from('x'))
  expect(used() - before).toBeLessThan(4 * 1024 * 1024)
  expect(pieces.bytes).toBe(200_000)
})
