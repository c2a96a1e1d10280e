import { describe, expect, test } from 'vitest'
import { createClock } from '../../src/flow/clock.ts'

const minute = 60_000
const hour = 60 * minute

function clockAt(start = Date.parse('2026-11-26T08:00:00Z')) {
  const at = { now: start, time: 0 }
  const clock = createClock({ now: () => at.now, time: () => at.time })
  return {
    ...clock,
    now: () => at.now,
    pass(ms: number) {
      at.now += ms
      at.time += ms
      clock.tick()
    },
    set(ms: number) {
      at.now += ms
      clock.tick()
    },
  }
}

describe('a clock is in doubt', () => {
  test('when several upstreams agree on another time', () => {
    const clock = clockAt()
    clock.heard('hub', clock.now() + hour)
    expect(clock.doubt()).toBeUndefined()
    clock.heard('auth', clock.now() + hour + 2000)
    expect(clock.doubt()).toBe('the clock is 60 min behind what several upstreams say')
    const ahead = clockAt()
    for (const host of ['hub', 'auth']) ahead.heard(host, ahead.now() - 3 * 24 * hour)
    expect(ahead.doubt()).toBe('the clock is 3 d ahead of what several upstreams say')
  })

  test('not when they disagree with each other, or as many agree with it', () => {
    const clock = clockAt()
    clock.heard('hub', clock.now() + hour)
    clock.heard('auth', clock.now() - hour)
    expect(clock.doubt()).toBeUndefined()
    clock.heard('auth', clock.now() + hour)
    clock.heard('quay', clock.now())
    clock.heard('ghcr', clock.now() - minute / 2)
    expect(clock.doubt()).toBeUndefined()
  })

  test('not for what one upstream says again and again', () => {
    const clock = clockAt()
    for (let count = 0; count < 5; count++) clock.heard('hub', clock.now() + hour)
    expect(clock.doubt()).toBeUndefined()
  })

  test('not for what was said before it was set right', () => {
    const clock = clockAt()
    for (const host of ['hub', 'auth']) clock.heard(host, clock.now() + hour)
    clock.set(hour)
    expect(clock.doubt()).toBe('the clock was set forward by 60 min, and no upstream has confirmed it since')
    clock.heard('hub', clock.now() - 1000)
    expect(clock.doubt()).toBeUndefined()
  })

  test('when it was set, for as long as nobody confirms it and an hour at most', () => {
    const clock = clockAt()
    clock.pass(minute)
    expect(clock.doubt()).toBeUndefined()
    clock.set(-90 * 1000)
    expect(clock.doubt()).toMatch(/was set back by 90 s/)
    clock.pass(hour)
    expect(clock.doubt()).toBeUndefined()
  })

  test('not when it is corrected by little, or the process was held up', () => {
    const clock = clockAt()
    clock.set(2000)
    clock.pass(10 * minute)
    expect(clock.doubt()).toBeUndefined()
  })

  test('when a certificate begins later than now', () => {
    const clock = clockAt()
    clock.heardOfFuture('hub')
    expect(clock.doubt()).toMatch(/certificate of hub begins later/)
    clock.heard('quay', clock.now())
    expect(clock.doubt()).toBeUndefined()
  })

  test('remembers a bounded number of hosts', () => {
    const clock = clockAt()
    for (let count = 0; count < 1000; count++) clock.heard(`host-${count}`, clock.now() + count * hour)
    clock.heard('a', clock.now() + hour)
    clock.heard('b', clock.now() + hour)
    expect(clock.doubt()).toBeUndefined()
  })
})
