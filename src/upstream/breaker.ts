/** Whether a url is worth asking. Values only: whoever holds one replaces it by what these functions return. */
export type Breaker =
  /** `failures`: the weight of those in a row. */
  | { kind: 'closed'; failures: number }
  /** Nobody is let through before `until`. */
  | { kind: 'open'; until: number }
  /** One request finds out; the others go on as if it were open. */
  | { kind: 'probing' }

export const closedBreaker: Breaker = { kind: 'closed', failures: 0 }

/** Short enough that an upstream that is back is noticed within 5 s. */
export const openMs = 2500

/** One connection that fails may be an accident, two are none; a few failed answers may all be about one broken thing. */
const toOpen = 6
export const weights = { noAnswer: 3, failedAnswer: 1 } as const

export function admits(breaker: Breaker, now: number): boolean {
  switch (breaker.kind) {
    case 'closed':
      return true
    case 'open':
      return now >= breaker.until
    case 'probing':
      return false
    default:
      return breaker satisfies never
  }
}

/** An admitted request sets out. */
export function started(breaker: Breaker): Breaker {
  return breaker.kind === 'open' ? { kind: 'probing' } : breaker
}

export function failed(breaker: Breaker, now: number, weight: number = weights.noAnswer): Breaker {
  switch (breaker.kind) {
    case 'closed': {
      const failures = breaker.failures + weight
      return failures < toOpen ? { kind: 'closed', failures } : { kind: 'open', until: now + openMs }
    }
    case 'probing':
      return { kind: 'open', until: now + openMs }
    case 'open':
      return breaker
    default:
      return breaker satisfies never
  }
}

/** The request ended without a verdict, its caller gone: the next one may probe. */
export function abandoned(breaker: Breaker, now: number): Breaker {
  return breaker.kind === 'probing' ? { kind: 'open', until: now } : breaker
}
