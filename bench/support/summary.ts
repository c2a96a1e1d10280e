/** What one server did in one round. */
export interface Sample {
  server: string
  values: Readonly<Record<string, number>>
}

export interface Column {
  /** Of the value in each {@link Sample}. */
  key: string
  title: string
  digits: number
  /** Shown as a multiple of the reference too. */
  compared?: boolean
}

export interface Spread {
  median: number
  min: number
  max: number
}

/** `undefined` without a single value that is a number. */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const sorted = values.filter(Number.isFinite).toSorted((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (min === undefined || max === undefined) return undefined
  const middle = (sorted.length - 1) / 2
  const [low = min, high = min] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]]
  return { median: (low + high) / 2, min, max }
}

export function valuesOf(samples: readonly Sample[], server: string, key: string): number[] {
  return samples.filter((sample) => sample.server === server).map(({ values }) => values[key] ?? Number.NaN)
}

/**
 * Median of what `server` is to `reference` in each round: both were measured right after one another, so what slows
 * the machine for a while slows both.
 */
export function ratioOf(
  samples: readonly Sample[],
  key: string,
  server: string,
  reference: string,
): number | undefined {
  const others = valuesOf(samples, reference, key)
  const ratios = valuesOf(samples, server, key).map((value, round) => value / (others[round] ?? Number.NaN))
  return spreadOf(ratios)?.median
}
