import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Budget,
  lastsMs,
  restated,
  spending,
  spent,
  unknownBudget,
  waitMsOf,
} from '../../src/upstream/budget.ts'

const windowMs = 6 * 3_600_000
const reserve = { kind: 'requests', requests: 10 } as const

function stating(remaining: number, budget = unknownBudget, now = 0): Budget {
  return restated(budget, { remaining, limit: 100, windowMs }, now)
}

describe('a budget', () => {
  test('that nothing is known of keeps nobody waiting', () => {
    expect(waitMsOf(unknownBudget, reserve, true, 0)).toBe(0)
    expect(waitMsOf(unknownBudget, reserve, false, 0)).toBe(0)
  })

  test('has its reserve for who waits, in requests or as a part of the limit', () => {
    for (const kept of [reserve, { kind: 'fraction', fraction: 0.1 }] as const) {
      expect(waitMsOf(stating(11), kept, false, 0)).toBe(0)
      expect(waitMsOf(stating(10), kept, false, 0)).toBe(windowMs)
      expect(waitMsOf(stating(10), kept, true, 0)).toBe(0)
    }
  })

  test('is spread once only the reserve is left', () => {
    const plenty = spending(stating(12), 0)
    expect(waitMsOf(plenty, reserve, true, 0)).toBe(0)
    const little = spending(stating(5), 0)
    expect(waitMsOf(little, reserve, true, 0)).toBe(2_000)
    expect(waitMsOf(little, reserve, true, 2_000)).toBe(0)
    const soonOver = spending(restated(unknownBudget, { remaining: 5, limit: 100, resetMs: 4_000 }, 0), 0)
    expect(waitMsOf(soonOver, reserve, true, 0)).toBe(1_000)
  })

  test('that is spent is believed for a minute, and then asked after by one', () => {
    const empty = stating(0)
    expect(waitMsOf(empty, reserve, true, 1_000)).toBe(59_000)
    expect(waitMsOf(empty, reserve, true, 60_000)).toBe(0)
    expect(waitMsOf(spending(empty, 60_000), reserve, true, 60_000)).toBeGreaterThan(0)
  })

  test('is history when its window is over', () => {
    expect(waitMsOf(stating(0), reserve, false, windowMs)).toBe(0)
    expect(lastsMs(stating(0), windowMs)).toBeUndefined()
  })

  test('begins anew when there is more than before', () => {
    const renewed = stating(100, stating(3), 60_000)
    expect(renewed).toMatchObject({ stated: 100, endsAt: 60_000 + windowMs })
    expect(stating(2, stating(3), 60_000).endsAt).toBe(windowMs)
    const overtaken = restated(spending(stating(3, unknownBudget, 500), 100), { remaining: 9 }, 600, 100)
    expect(overtaken).toMatchObject({ stated: 3, endsAt: 500 + windowMs })
  })

  test('lasts as long as the present rate says', () => {
    let budget = stating(100)
    for (let minute = 1; minute <= 50; minute++) budget = stating(100 - minute, budget, minute * 60_000)
    // Fifty are left, and one goes each minute.
    const minutes = (lastsMs(budget, 50 * 60_000) ?? 0) / 60_000
    expect(minutes).toBeGreaterThan(40)
    expect(minutes).toBeLessThan(60)
    expect(lastsMs(budget, 170 * 60_000)).toBeUndefined()
    expect(lastsMs(stating(100), 0)).toBeUndefined()
  })
})

/** An upstream that counts, and any mix of who asks: each request sets out if it may, and its answer takes a while. */
const arrivals = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.constant(0), fc.nat(5_000)),
    urgent: fc.boolean(),
    answerMs: fc.nat(60_000),
  }),
  { maxLength: 200 },
)

test('upstream never has to refuse, and the reserve is for who waits', () => {
  fc.assert(
    fc.property(arrivals, fc.integer({ min: 1, max: 60 }), (requests, limit) => {
      let budget = restated(unknownBudget, { remaining: limit, limit, windowMs }, 0)
      let given = 0
      let now = 0
      let underWay: { at: number; askedAt: number; remaining: number }[] = []
      const answerUntil = (time: number) => {
        const due = underWay.filter(({ at }) => at <= time).sort((one, other) => one.at - other.at)
        underWay = underWay.filter(({ at }) => at > time)
        for (const { at, remaining, askedAt } of due)
          budget = spent(restated(budget, { remaining, limit }, at, askedAt))
      }
      for (const { afterMs, urgent, answerMs } of requests) {
        now += afterMs
        answerUntil(now)
        if (waitMsOf(budget, reserve, urgent, now) > 0) continue
        budget = spending(budget, now)
        given += 1
        expect(given).toBeLessThanOrEqual(limit)
        if (!urgent) expect(limit - given).toBeGreaterThanOrEqual(reserve.requests)
        underWay.push({ at: now + answerMs, askedAt: now, remaining: limit - given })
      }
    }),
    { numRuns: 500 },
  )
})
