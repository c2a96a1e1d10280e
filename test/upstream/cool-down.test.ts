import { describe, expect, test } from 'vitest'
import {
  allowed,
  type CoolDown,
  coolingMs,
  limited,
  noCoolDown,
  probing,
  unanswered,
} from '../../src/upstream/cool-down.ts'

const now = 1_000_000

/** Each 429 comes from the one request that went to see. */
function waitsOf(stated: readonly (number | undefined)[]): number[] {
  let coolDown: CoolDown = noCoolDown
  let at = now
  return stated.map((ms) => {
    coolDown = limited(probing(coolDown), ms, at)
    const waitMs = coolingMs(coolDown, at)
    at += waitMs
    return waitMs
  })
}

describe('a cool-down', () => {
  test('is as long as upstream says, within an hour', () => {
    expect(waitsOf([7_000])).toEqual([7_000])
    expect(waitsOf([86_400_000])).toEqual([3_600_000])
  })

  test('grows from one to the next where upstream does not say, or says "now"', () => {
    expect(waitsOf(Array.from({ length: 8 }))).toEqual([
      5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000,
    ])
    expect(waitsOf([0, 0, 0])).toEqual([1_000, 2_000, 4_000])
  })

  test('is one for all that were under way when it began', () => {
    const first = limited(noCoolDown, undefined, now)
    const second = limited(first, undefined, now + 100)
    expect(second).toEqual({ kind: 'cooling', until: now + 5_100, strikes: 1 })
    expect(limited(first, 1_000, now + 100)).toEqual(first)
    expect(allowed(first)).toEqual(first)
  })

  test('ends with one request, which the others wait for', () => {
    const over = limited(noCoolDown, 1_000, now)
    expect(coolingMs(over, now + 999)).toBe(1)
    expect(coolingMs(over, now + 1_000)).toBe(0)
    const probe = probing(over)
    expect(coolingMs(probe, now + 1_000)).toBeGreaterThan(0)
    expect(allowed(probe)).toEqual(noCoolDown)
    expect(coolingMs(unanswered(probe, now + 1_500), now + 1_500)).toBe(0)
    expect(limited(probe, undefined, now + 1_000)).toMatchObject({ until: now + 11_000, strikes: 2 })
  })
})
