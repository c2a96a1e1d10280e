import { type Column, ratioOf, type Sample, spreadOf, valuesOf } from './summary.ts'

export interface Requirement {
  what: string
  /** `undefined`: it could not be measured. */
  value: number | undefined
  atMost: number
  digits: number
  unit: string
}

/** Whether what Outport must hold to does hold here, in a sentence. */
export function judge({ what, value = Number.NaN, atMost, digits, unit }: Requirement): string {
  const verdict = Number.isNaN(value) ? 'not measured' : value <= atMost ? 'holds' : 'does NOT hold'
  return `Required: ${what} at most ${atMost} ${unit}; it is ${value.toFixed(digits)} ${unit}: ${verdict}.`
}

/** What a figure of Outport must keep to: its `worst` round, the `median` of all, or its `ratio` to the reference. */
export interface Bound {
  of: 'worst' | 'median' | 'ratio'
  atMost?: number
  atLeast?: number
}

export interface Figure extends Column {
  /** Of Outport. */
  required?: Bound
}

export interface Verdict {
  key: string
  bound: Bound
  /** `undefined`: it could not be measured. */
  value: number | undefined
  holds: boolean
}

/** Whether every figure that is bound holds, in the order of the columns. */
export function verdictsOn(
  columns: readonly Figure[],
  samples: readonly Sample[],
  server: string,
  reference: string,
): Verdict[] {
  return columns.flatMap(({ key, required: bound }) => {
    if (!bound) return []
    const value = judgedValue(bound, valuesOf(samples, server, key), () =>
      ratioOf(samples, key, server, reference),
    )
    const { atMost = Number.POSITIVE_INFINITY, atLeast = Number.NEGATIVE_INFINITY } = bound
    return [{ key, bound, value, holds: value !== undefined && value <= atMost && value >= atLeast }]
  })
}

function judgedValue(
  { of, atMost, atLeast = Number.NEGATIVE_INFINITY }: Bound,
  values: readonly number[],
  ratio: () => number | undefined,
): number | undefined {
  // A round that failed counts: it is the worst, and no median speaks for it.
  if (!values.every(Number.isFinite)) return undefined
  if (of === 'ratio') return ratio()
  const spread = spreadOf(values)
  if (!spread || of === 'median') return spread?.median
  return spread.min < atLeast || atMost === undefined ? spread.min : spread.max
}
