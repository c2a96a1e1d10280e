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
