import * as z from 'zod'
import { days } from '../flow/calendar.ts'
import { grammar, list, mapping, name, rate, text } from './fields.ts'

const day = `(?:${days.join('|')})`
const aDay = 'a day such as mon, or days such as mon-fri'

/** A day, or a range of days that may go over the end of the week. */
const dayOrRange = text(aDay, parseDays, `^${day}(-${day})?$`)

const aTime = 'a time such as 08:00'
const clock = '(?:[01][0-9]|2[0-3]):[0-5][0-9]'

const bandwidth = z.union([rate, z.literal('unlimited').transform(() => undefined)], {
  error: 'a rate such as 20MiB/s, or unlimited',
})

const hours = mapping({
  days: list(dayOrRange, `a list of days such as [mon-fri]`)
    .min(1, { error: 'at least one day' })
    .prefault(['mon-sun'])
    .transform((each) => new Set(each.flat())),
  from: text(aTime, grammar(clock, aTime), `^${clock}$`),
  to: text(aTime, grammar(`${clock}|24:00`, aTime), `^(?:${clock}|24:00)$`),
  bandwidth,
})
  .refine(({ from, to }) => from !== to, { path: ['to'], error: 'another time than from' })
  .describe('Where `to` is before `from`, it is on the next day')

/** Bandwidths by hours of the week, named by the `bandwidth` of a registry. Unlimited where nothing matches. */
export const calendarDocument = mapping({
  kind: z.literal('calendar'),
  name,
  timeZone: text('a time zone such as Europe/Berlin', parseTimeZone).prefault('UTC'),
  hours: list(hours, 'a list of { days, from, to, bandwidth }')
    .min(1, { error: 'at least one entry { days, from, to, bandwidth }' })
    .describe('The first match wins'),
})

export type CalendarDocument = z.output<typeof calendarDocument>

function parseDays(value: string): string[] {
  const [first = '', last = first] = value.split('-')
  const [start, end] = [days.indexOf(first), days.indexOf(last)]
  if (start < 0 || end < 0 || value.split('-').length > 2) throw new SyntaxError(aDay)
  return start <= end ? days.slice(start, end + 1) : [...days.slice(start), ...days.slice(0, end + 1)]
}

function parseTimeZone(value: string): string {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: value }).resolvedOptions().timeZone
  } catch {
    throw new SyntaxError('a time zone such as Europe/Berlin')
  }
}
