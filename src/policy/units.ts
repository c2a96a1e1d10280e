/**
 * Durations, sizes, rates and percentages as people write them. Each `parseX` throws a SyntaxError whose message
 * is what would have been right, so that it can stand after "expected".
 */

export const aDuration = 'a duration such as 5m'
export const aSize = 'a size such as 200GiB'
export const aRate = 'a rate such as 20MiB/s'
export const aPercentage = 'a percentage such as 80%'

/** The same grammars for editors, as JSON schema patterns. */
export const durationPattern = '^[0-9]+(\\.[0-9]+)? ?(ms|s|m|h|d|w)$'
export const sizePattern = '^[0-9]+(\\.[0-9]+)? ?(B|[kK]B|[MGTP]B|[KMGTP]iB)$'
export const ratePattern = '^[0-9]+(\\.[0-9]+)? ?(B|[kK]B|[MGTP]B|[KMGTP]iB|[kMG]bit)/s$'
export const percentagePattern = '^[0-9]+(\\.[0-9]+)? ?%$'

const milliseconds: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

const bytes: Record<string, number> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  PB: 1e15,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  PiB: 2 ** 50,
}

const bits: Record<string, number> = { kbit: 1e3 / 8, Mbit: 1e6 / 8, Gbit: 1e9 / 8 }

/** @returns milliseconds */
export function parseDuration(text: string): number {
  return inUnits(text, milliseconds, aDuration)
}

/** @returns bytes */
export function parseSize(text: string): number {
  return inUnits(text, bytes, aSize)
}

/** @returns bytes a second, at least one */
export function parseRate(text: string): number {
  if (!text.endsWith('/s')) throw new SyntaxError(aRate)
  const rate = inUnits(text.slice(0, -2), { ...bytes, ...bits }, aRate)
  if (rate === 0) throw new SyntaxError(aRate)
  return rate
}

/** @returns a fraction above 0, up to 1 */
export function parsePercentage(text: string): number {
  const amount = /^(\d{1,3}(?:\.\d+)?) ?%$/.exec(text)?.[1]
  const fraction = Number(amount) / 100
  if (!(fraction > 0 && fraction <= 1)) throw new SyntaxError(aPercentage)
  return fraction
}

function inUnits(text: string, units: Record<string, number>, expected: string): number {
  const [, amount, unit] = /^(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]+)$/.exec(text) ?? []
  if (amount === undefined || unit === undefined || !Object.hasOwn(units, unit))
    throw new SyntaxError(expected)
  const value = Math.round(Number(amount) * (units[unit] ?? Number.NaN))
  if (!Number.isSafeInteger(value)) throw new SyntaxError(`${expected}, not one beyond all bounds`)
  return value
}
