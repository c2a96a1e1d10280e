import { describe, expect, test } from 'vitest'
import type { Lent } from '../../src/blobs/blob-store.ts'
import { createInFlight } from '../../src/fill/in-flight.ts'
import { createTail } from '../../src/fill/tail.ts'

const bytes = Buffer.from('0123456789abcdef')
const unlimited = { take: () => true, giveBack() {} }
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
    const tail = createTail(unlimited)
    tail.keep(100, chunks, () => {})
    const buffer = Buffer.alloc(200)
    const copied = tail.copy(buffer, length, position)
    expect(buffer.toString('latin1', 0, copied)).toBe(expected)
    expect(buffer.subarray(copied).every((byte) => byte === 0)).toBe(true)
  })

  test('is released once, when it is replaced or dropped', () => {
    const tail = createTail(unlimited)
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

  test.each([
    [100, 16, ['0123', '4', '56789abcdef']],
    [103, 9, ['3', '4', '56789ab']],
    [115, 1, ['f']],
    [99, 4, undefined],
    [116, 4, undefined],
  ])('is lent from %i on, %i bytes, as it is', (position, length, expected) => {
    const tail = createTail(unlimited)
    tail.keep(100, chunks, () => {})
    expect(tail.lend(position, length)?.pieces.map(String)).toEqual(expected)
  })

  test('and lent is released when it has been given back, and replaced', () => {
    const tail = createTail(unlimited)
    let released = 0
    tail.keep(0, chunks, () => released++)
    const [one, other, early] = [tail.lend(0, 4), tail.lend(4, 4), tail.lend(0, 1)]
    early?.giveBack()
    tail.keep(16, chunks, () => {})
    one?.giveBack()
    one?.giveBack()
    expect(released).toBe(0)
    other?.giveBack()
    expect(released).toBe(1)
  })

  test('is lent only while there is not too much of that, each batch counted once', () => {
    const { loans } = createInFlight(2 * 2 * bytes.length)
    const tail = createTail(loans)
    const lent: (Lent | undefined)[] = []
    for (let batch = 0; batch < 3; batch += 1) {
      tail.keep(batch * 16, chunks, () => {})
      lent.push(tail.lend(batch * 16, 4), tail.lend(batch * 16, 4))
    }
    expect(lent.map((each) => each !== undefined)).toEqual([true, true, true, true, false, false])
    lent[0]?.giveBack()
    expect(tail.lend(32, 4)).toBeUndefined()
    lent[1]?.giveBack()
    expect(tail.lend(32, 4)).toBeDefined()
  })
})
