const aTime = 'a time such as 08:00 or 2026-11-27T08:00'

/** The next such time of the day, or a date and time as ISO 8601 has it; local where no zone is named. @throws SyntaxError */
export function parseUntil(text: string, now: Date): Date {
  const [, hour, minute] = /^(\d{1,2}):(\d{2})$/.exec(text) ?? []
  if (hour !== undefined && minute !== undefined) return nextTime(Number(hour), Number(minute), now)
  if (!/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/.test(text)) throw new SyntaxError(aTime)
  const at = new Date(text.replace(' ', 'T'))
  if (Number.isNaN(at.getTime())) throw new SyntaxError(aTime)
  if (at <= now) throw new SyntaxError('a time that is still to come')
  return at
}

function nextTime(hour: number, minute: number, now: Date): Date {
  if (hour > 23 || minute > 59) throw new SyntaxError(aTime)
  const at = new Date(now)
  at.setHours(hour, minute, 0, 0)
  // By the calendar and not by 24 hours: a day on which the clocks change has more or fewer.
  if (at <= now) at.setDate(at.getDate() + 1)
  at.setHours(hour, minute, 0, 0)
  return at
}
