/** Whether upstream has said that we ask too much. Values only, as with the breaker. */
export type CoolDown =
  | { kind: 'none' }
  /** Nobody asks before `until`. `strikes`: how many in a row this is. */
  | { kind: 'cooling'; until: number; strikes: number }
  /** Its time is over; one request finds out whether it meant it, the others wait for that. */
  | { kind: 'probing'; strikes: number }

export const noCoolDown: CoolDown = { kind: 'none' }

/** Where upstream does not say how long: doubled from each to the next. */
const firstMs = 5_000
const longestUnstatedMs = 300_000
/** An upstream that says "now" with a 429 does not mean it. */
const leastMs = 1_000
/** Who says more is asked once an hour whether it is still so. */
const longestMs = 3_600_000

/** When to look again while an answer is on its way that will tell. */
export const askAgainMs = 200

/** Milliseconds until it is worth to ask; 0: now. */
export function coolingMs(coolDown: CoolDown, now: number): number {
  switch (coolDown.kind) {
    case 'none':
      return 0
    case 'cooling':
      return Math.max(0, coolDown.until - now)
    case 'probing':
      return askAgainMs
    default:
      return coolDown satisfies never
  }
}

/** A request sets out that was not told to wait. */
export function probing(coolDown: CoolDown): CoolDown {
  return coolDown.kind === 'cooling' ? { kind: 'probing', strikes: coolDown.strikes } : coolDown
}

/** Upstream has said 429. @param statedMs its `Retry-After` */
export function limited(coolDown: CoolDown, statedMs: number | undefined, now: number): CoolDown {
  // Of requests that were under way together, the first 429 has begun the cool-down.
  const strikes = coolDown.kind === 'none' ? 1 : coolDown.strikes + (coolDown.kind === 'probing' ? 1 : 0)
  const growth = 2 ** Math.min(strikes - 1, 20)
  const waitMs =
    statedMs === undefined
      ? Math.min(firstMs * growth, longestUnstatedMs)
      : Math.min(Math.max(statedMs, Math.min(leastMs * growth, longestUnstatedMs)), longestMs)
  const until = now + waitMs
  return {
    kind: 'cooling',
    until: coolDown.kind === 'cooling' ? Math.max(coolDown.until, until) : until,
    strikes,
  }
}

/** Upstream has said something else. What was asked before a cool-down says nothing about it. */
export function allowed(coolDown: CoolDown): CoolDown {
  return coolDown.kind === 'probing' ? noCoolDown : coolDown
}

/** The request ended without an answer: the next one may find out. */
export function unanswered(coolDown: CoolDown, now: number): CoolDown {
  return coolDown.kind === 'probing' ? { kind: 'cooling', until: now, strikes: coolDown.strikes } : coolDown
}
