import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CalendarHours, createCalendarRate, days } from '../../src/flow/calendar.ts'

const always = new Set(days)
const unlimited = Number.POSITIVE_INFINITY

function rateAt(time: string, hours: readonly CalendarHours[], timeZone = 'UTC'): number {
  return createCalendarRate({ timeZone, hours }, () => Date.parse(time))()
}

describe('the rate of a calendar', () => {
  const office = [
    { days: new Set(['mon', 'tue', 'wed', 'thu', 'fri']), from: '08:00', to: '20:00', bandwidth: 2 },
    { days: new Set(['sat']), from: '22:00', to: '06:00', bandwidth: 3 },
    { days: always, from: '00:00', to: '24:00' },
    { days: always, from: '00:00', to: '24:00', bandwidth: 1 },
  ]

  test.each([
    ['within the hours', '2026-11-26T08:00:00Z', 2],
    ['at their last moment', '2026-11-26T19:59:59.999Z', 2],
    ['when they are over', '2026-11-26T20:00:00Z', unlimited],
    ['on another day', '2026-11-29T12:00:00Z', unlimited],
    ['in the evening, where they go over midnight', '2026-11-28T22:00:00Z', 3],
    ['on the day after, where they go over midnight', '2026-11-29T05:59:00Z', 3],
    ['on the day after, when they are over', '2026-11-29T06:00:00Z', unlimited],
    ['on the morning of the day on which they begin', '2026-11-28T05:59:00Z', unlimited],
  ])('%s', (_, time, rate) => {
    expect(rateAt(time, office)).toBe(rate)
  })

  test('is that of the first hours that match, and none where none do', () => {
    expect(rateAt('2026-11-26T12:00:00Z', [])).toBe(unlimited)
    expect(rateAt('2026-11-26T12:00:00Z', office.slice(3))).toBe(1)
  })

  test('goes over the end of the week', () => {
    const hours = [{ days: new Set(['sun']), from: '23:00', to: '01:00', bandwidth: 1 }]
    expect(rateAt('2026-11-30T00:30:00Z', hours)).toBe(1)
  })

  test('is by the clocks of its place: an hour that they show twice holds twice, one left out does not', () => {
    const night = [{ days: always, from: '02:00', to: '03:00', bandwidth: 1 }]
    const berlin = (time: string) => rateAt(time, night, 'Europe/Berlin')
    expect(berlin('2026-11-26T01:30:00Z')).toBe(1)
    expect([berlin('2026-10-25T00:30:00Z'), berlin('2026-10-25T01:30:00Z')]).toEqual([1, 1])
    expect(berlin('2026-10-25T02:00:00Z')).toBe(unlimited)
    expect([berlin('2026-03-29T00:59:00Z'), berlin('2026-03-29T01:00:00Z')]).toEqual([unlimited, unlimited])
    expect(rateAt('2026-11-26T20:15:00Z', night, 'Asia/Kathmandu')).toBe(1)
  })

  test('is asked as time goes on', () => {
    let now = Date.parse('2026-11-26T07:59:59.999Z')
    const rate = createCalendarRate({ timeZone: 'UTC', hours: office }, () => now)
    expect(rate()).toBe(unlimited)
    now += 1
    expect(rate()).toBe(2)
  })

  test('is that of each minute of the hours, counted one by one', () => {
    const minuteOfDay = fc.integer({ min: 0, max: 1439 })
    const minuteOfWeek = fc.integer({ min: 0, max: 7 * 1440 - 1 })
    fc.assert(
      fc.property(fc.constantFrom(...days), minuteOfDay, minuteOfDay, minuteOfWeek, (day, from, to, at) => {
        fc.pre(from !== to)
        const start = days.indexOf(day) * 1440 + from
        const length = (to - from + 1440) % 1440
        const isWithin = (at - start + 7 * 1440) % (7 * 1440) < length
        const hours = [{ days: new Set([day]), from: clock(from), to: clock(to), bandwidth: 1 }]
        const monday = Date.parse('2026-11-23T00:00:00Z')
        expect(rateAt(new Date(monday + at * 60_000).toISOString(), hours)).toBe(isWithin ? 1 : unlimited)
      }),
      { numRuns: 300 },
    )
  })
})

function clock(minute: number): string {
  return new Date(minute * 60_000).toISOString().slice(11, 16)
}
