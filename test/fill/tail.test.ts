import { describe, expect, test } from 'vitest'
import { createTail } from '../../src/fill/tail.ts'

const bytes = Buffer.from('0123456789abcdef')
const chunks = [bytes.subarray(0, 4), bytes.subarray(4, 5), bytes.subarray(5)]

describe('what was written last', () => {
  test.each([
    [100, 16, '0123456789abcdef'],
    [100, 3, '012'],
    [103, 2, '34'],
    [103, 9, '3456789ab'],
    [105, 100, '56789abcdef'],
    [115, 1, 'f'],
    [99, 4, ''],
    [116, 4, ''],
  ])('is read from %i on, %i bytes', (position, length, expected) => {
    const tail = createTail()
    tail.keep(100, chunks, () => {})
    const buffer = Buffer.alloc(200)
    const copied = tail.copy(buffer, length, position)
    expect(buffer.toString('latin1', 0, copied)).toBe(expected)
    expect(buffer.subarray(copied).every((byte) => byte === 0)).toBe(true)
  })

  test('is released once, when it is replaced or dropped', () => {
    const tail = createTail()
    const released: string[] = []
    tail.keep(0, chunks, () => released.push('first'))
    tail.keep(16, chunks, () => released.push('second'))
    expect(released).toEqual(['first'])
    expect(tail.copy(Buffer.alloc(4), 4, 0)).toBe(0)
    tail.drop()
    tail.drop()
    expect(released).toEqual(['first', 'second'])
    expect(tail.copy(Buffer.alloc(4), 4, 16)).toBe(0)
  })
})
