import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { extentBytes } from '../../src/blobs/extents.ts'
import { createExtentHashes, markBytes } from '../../src/fill/extent-hashes.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'

const bytes = pseudoRandomBytes(2 * extentBytes + 1000, 'extents')
const sha256 = (start: number, end: number) =>
  createHash('sha256').update(bytes.subarray(start, end)).digest('hex')
const expected = [
  sha256(0, extentBytes),
  sha256(extentBytes, 2 * extentBytes),
  sha256(2 * extentBytes, bytes.length),
]

function* pieces(start: number, end: number, step: number): Generator<[number, Buffer]> {
  for (let at = start; at < end; at += step) yield [at, bytes.subarray(at, Math.min(end, at + step))]
}

describe('extents are hashed', () => {
  test('however the bytes are cut', () => {
    const hashes = createExtentHashes()
    for (const [at, piece] of pieces(0, bytes.length, 700_001)) hashes.update(at, piece)
    expect(hashes.lines()).toEqual(expected)
  })

  test('in any order, when what did not follow is shown again', () => {
    const hashes = createExtentHashes()
    for (const [at, piece] of pieces(extentBytes, 2 * extentBytes, 65_536)) hashes.update(at, piece)
    for (const [at, piece] of pieces(500_000, extentBytes, 65_536)) hashes.update(at, piece)
    for (const [at, piece] of pieces(0, 600_000, 65_536)) hashes.update(at, piece)
    for (const [at, piece] of pieces(0, bytes.length, 1_000_003)) hashes.update(at, piece)
    expect(hashes.lines()).toEqual(expected)
  })

  test('with a mark at every half mebibyte', () => {
    const hashes = createExtentHashes()
    hashes.update(extentBytes, bytes.subarray(extentBytes, extentBytes + 2 * markBytes + 5))
    expect(hashes.takeMarks()).toEqual([
      { extent: 1, count: 1, hex: sha256(extentBytes, extentBytes + markBytes) },
      { extent: 1, count: 2, hex: sha256(extentBytes, extentBytes + 2 * markBytes) },
    ])
    expect(hashes.takeMarks()).toEqual([])
  })
})
