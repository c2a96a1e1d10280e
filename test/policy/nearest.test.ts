import fc from 'fast-check'
import { expect, test } from 'vitest'
import { editDistance, nearest } from '../../src/policy/nearest.ts'

test.each([
  ['freshnes', 'freshness'],
  ['Proxy', 'proxy'],
  ['porxy', 'proxy'],
  ['pubilc', 'public'],
])('%s was meant to be %s', (slip, meant) => {
  expect(nearest(slip, ['name', 'proxy', 'public', 'freshness', 'stale'])).toBe(meant)
})

test('nothing is suggested for what is like nothing', () => {
  expect(nearest('members', ['name', 'proxy', 'public', 'freshness', 'stale'])).toBeUndefined()
  expect(nearest('replication', ['registry', 'project', 'cache', 'calendar'])).toBeUndefined()
  expect(nearest('x'.repeat(100_000), ['x'.repeat(100_000)])).toBeUndefined()
})

test('the distance is symmetric, zero for equals only, and never above the longer text', () => {
  const short = fc.string({ maxLength: 12 })
  fc.assert(
    fc.property(short, short, (left, right) => {
      const distance = editDistance(left, right)
      expect(distance).toBe(editDistance(right, left))
      expect(distance === 0).toBe(left === right)
      expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length))
    }),
  )
})
