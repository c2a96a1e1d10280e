/** Bandwidths by hours of the week, on the clocks of one place. */
export interface Calendar {
  /** IANA, as `Europe/Berlin`. */
  timeZone: string
  /** The first match wins; where nothing matches there is no limit. */
  hours: readonly CalendarHours[]
}

export interface CalendarHours {
  /** Days on which they begin, by {@link days}. */
  days: ReadonlySet<string>
  /** `HH:MM`; `to` may be 24:00, and is on the next day where it is before `from`. */
  from: string
  to: string
  /** Bytes a second; absent: no limit. */
  bandwidth?: number
}

/** In the order of the week. */
export const days: readonly string[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

const minuteMs = 60_000

/**
 * What holds now, as often as it is asked: bytes a second, `Infinity` without a limit. What counts is what the clocks show:
 * an hour that they show twice holds twice, one that they leave out does not hold.
 * @param now milliseconds since 1970
 */
export function createCalendarRate(
  { timeZone, hours }: Calendar,
  now: () => number = Date.now,
): () => number {
  const clocks = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  })
  let minute: number | undefined
  let rate = Number.POSITIVE_INFINITY
  return () => {
    // Clocks differ by whole minutes, and hours begin with one.
    const current = Math.floor(now() / minuteMs)
    if (current === minute) return rate
    minute = current
    const shown = new Map(clocks.formatToParts(current * minuteMs).map(({ type, value }) => [type, value]))
    const time = `${shown.get('hour')}:${shown.get('minute')}`
    const day = shown.get('weekday')?.toLowerCase() ?? ''
    rate = hours.find((each) => holds(each, day, time))?.bandwidth ?? Number.POSITIVE_INFINITY
    return rate
  }
}

function holds({ days, from, to }: CalendarHours, day: string, time: string): boolean {
  if (from < to) return days.has(day) && from <= time && time < to
  return (days.has(day) && from <= time) || (days.has(dayBefore(day)) && time < to)
}

function dayBefore(day: string): string {
  return days.at(days.indexOf(day) - 1) ?? ''
}
