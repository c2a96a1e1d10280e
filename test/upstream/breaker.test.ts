import { describe, expect, test } from 'vitest'
import { abandoned, admits, closedBreaker, failed, openMs, started } from '../../src/upstream/breaker.ts'
import { retryAfterMs } from '../../src/upstream/retry-after.ts'

const now = 1_000_000

describe('a breaker', () => {
  const open = failed(failed(closedBreaker, now), now)

  test('admits everybody until two failures came in a row', () => {
    expect(admits(closedBreaker, now)).toBe(true)
    expect(admits(failed(closedBreaker, now), now)).toBe(true)
    expect(admits(open, now)).toBe(false)
  })

  test('admits one probe when its time is over, and nobody beside it', () => {
    expect(admits(open, now + openMs - 1)).toBe(false)
    expect(admits(open, now + openMs)).toBe(true)
    expect(admits(started(open), now + openMs)).toBe(false)
  })

  test('opens again when the probe fails', () => {
    const again = failed(started(open), now + openMs)
    expect(admits(again, now + openMs)).toBe(false)
    expect(admits(again, now + 2 * openMs)).toBe(true)
  })

  test('lets another probe go when the first was abandoned', () => {
    expect(admits(abandoned(started(open), now + openMs), now + openMs)).toBe(true)
  })

  test('is not kept open for longer by requests that were under way', () => {
    expect(failed(open, now + openMs - 1)).toEqual(open)
  })

  test('notices a recovery within 5 s', () => {
    expect(openMs).toBeLessThan(5_000)
  })
})

test.each<[string | undefined, number | undefined]>([
  [undefined, undefined],
  ['', undefined],
  ['soon', undefined],
  ['-1', undefined],
  ['0', 0],
  [' 120 ', 120_000],
  [new Date(now + 3_000).toUTCString(), 3_000],
  [new Date(0).toUTCString(), 0],
])('Retry-After %j means %j ms', (header, expected) => {
  expect(retryAfterMs(header, now)).toBe(expected)
})
