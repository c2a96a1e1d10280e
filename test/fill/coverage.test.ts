import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCoverage } from '../../src/fill/coverage.ts'

const size = 60
const span = fc
  .tuple(fc.integer({ min: 0, max: size }), fc.integer({ min: 0, max: size }))
  .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }))

test('knows of every byte whether it is there', () => {
  fc.assert(
    fc.property(fc.array(span, { maxLength: 20 }), (spans) => {
      const coverage = createCoverage()
      const there = new Array<boolean>(size).fill(false)
      for (const each of spans) {
        coverage.add(each)
        there.fill(true, each.start, each.end)
        expect(coverage.bytes).toBe(there.filter(Boolean).length)
      }
      for (let at = 0; at <= size; at += 1) {
        const gap = there.indexOf(false, at)
        expect(coverage.endFrom(at)).toBe(gap === -1 ? Math.max(at, size) : gap)
        const start = gap === -1 ? size : gap
        const end = there.indexOf(true, start)
        const expected = start >= size ? undefined : { start, end: end === -1 ? size : end }
        expect(coverage.gapFrom(at, size)).toEqual(expected)
      }
    }),
  )
})
