import type { Mistake } from '../findings.ts'

const mostMs = 60_000

/** @param date the `Date` header of an answer @param now milliseconds since 1970, here */
export function clockMistake(host: string, date: string | undefined, now: number): Mistake | undefined {
  const there = date === undefined ? Number.NaN : Date.parse(date)
  const behindMs = there - now
  if (Number.isNaN(behindMs) || Math.abs(behindMs) <= mostMs) return undefined
  const difference = `${formatSpan(Math.abs(behindMs))} ${behindMs > 0 ? 'behind' : 'ahead of'}`
  return {
    code: 'clock-wrong',
    what: `the clock of this machine is ${difference} that of ${host} (here ${iso(now)}, there ${iso(there)})`,
    advice: 'set the one that is wrong, by NTP: certificates and tokens are valid only between two moments',
  }
}

function iso(time: number): string {
  return new Date(time).toISOString()
}

function formatSpan(ms: number): string {
  const minutes = Math.round(ms / 60_000)
  if (minutes < 120) return `${minutes} min`
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`
}
