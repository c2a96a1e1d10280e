import { randomBytes } from 'node:crypto'

/** How long tests with random faults go on; 0 for a short look. */
export const soakSeconds = Number(process.env.OUTPORT_SOAK_SECONDS ?? 0)

export interface Chance {
  /** An integer from 0 to `below`, which is not among them. */
  below(limit: number): number
  pick<Value>(values: readonly [Value, ...Value[]]): Value
}

/**
 * Runs `round` at least `atLeast` times, and then until the soak is over. A failure names the seed; `OUTPORT_SEED` with
 * it runs the same first round again.
 */
export async function soak(
  atLeast: number,
  round: (chance: Chance, at: number) => Promise<void>,
): Promise<void> {
  const first = Number(process.env.OUTPORT_SEED ?? randomBytes(4).readUInt32LE())
  const until = Date.now() + soakSeconds * 1000
  for (let at = 0; at < atLeast || Date.now() < until; at++) {
    const seed = (first + at) >>> 0
    try {
      await round(chanceOf(seed), at)
    } catch (cause) {
      throw new Error(
        `round ${at}, OUTPORT_SEED=${seed}: ${cause instanceof Error ? cause.message : cause}`,
        { cause },
      )
    }
  }
}

/** mulberry32. */
export function chanceOf(seed: number): Chance {
  let state = seed
  function below(limit: number): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
  return { below, pick: (values) => values[below(values.length)] ?? values[0] }
}
