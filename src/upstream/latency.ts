/** An answer may take long for reasons of its own, so the quickest of a few tells how far away a registry is. */
const remembered = 8

export interface Latency {
  /** `undefined` before the first answer. */
  least(): number | undefined
  add(ms: number): void
}

export function createLatency(): Latency {
  const latest: number[] = []
  return {
    least: () => (latest.length > 0 ? Math.min(...latest) : undefined),
    add(ms) {
      latest.push(ms)
      if (latest.length > remembered) latest.shift()
    },
  }
}
