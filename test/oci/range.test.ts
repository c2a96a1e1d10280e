import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contentRangeOf, parseRange } from '../../src/oci/range.ts'

describe('a Range header', () => {
  test.each([
    ['bytes=0-9', [{ start: 0, end: 10 }]],
    ['bytes=90-', [{ start: 90, end: 100 }]],
    ['bytes=-5', [{ start: 95, end: 100 }]],
    ['bytes=-500', [{ start: 0, end: 100 }]],
    ['bytes=0-999', [{ start: 0, end: 100 }]],
    ['BYTES=1-1', [{ start: 1, end: 2 }]],
    [
      'bytes=0-0, 50-, -1',
      [
        { start: 0, end: 1 },
        { start: 50, end: 100 },
        { start: 99, end: 100 },
      ],
    ],
    ['bytes=200-, 5-5', [{ start: 5, end: 6 }]],
  ])('%s of 100 bytes', (header, ranges) => {
    expect(parseRange(header, 100)).toEqual(ranges)
  })

  test.each([
    undefined,
    'items=0-1',
    'bytes=',
    'bytes=a-b',
    'bytes=5-2',
    'bytes=-',
    'bytes 0-1',
    `bytes=${'0-0,'.repeat(32)}1-1`,
  ])('that must be ignored: %s', (header) => {
    expect(parseRange(header, 100)).toBeUndefined()
  })

  test.each([
    'bytes=100-',
    'bytes=100-200',
    'bytes=-0',
    'bytes=500-,600-',
  ])('that nothing satisfies: %s', (header) => {
    expect(() => parseRange(header, 100)).toThrow(
      expect.objectContaining({
        code: 'RANGE_INVALID',
        status: 416,
        headers: { 'content-range': 'bytes */100' },
      }),
    )
  })

  test('is never taken for bytes outside of the blob, whatever it says', () => {
    const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=[-0-9, ]{0,40}$/))
    fc.assert(
      fc.property(header, fc.nat({ max: 1000 }), (text, size) => {
        let ranges: ReturnType<typeof parseRange>
        try {
          ranges = parseRange(text, size)
        } catch (error) {
          expect(error).toMatchObject({ code: 'RANGE_INVALID' })
          return
        }
        for (const { start, end } of ranges ?? []) {
          expect(start).toBeGreaterThanOrEqual(0)
          expect(end).toBeGreaterThan(start)
          expect(end).toBeLessThanOrEqual(size)
        }
      }),
    )
  })

  test('is answered with the bytes it got', () => {
    expect(contentRangeOf({ start: 5, end: 10 }, 100)).toBe('bytes 5-9/100')
  })
})
