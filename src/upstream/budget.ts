import { askAgainMs } from './cool-down.ts'
import type { RateStatement } from './rate-limit.ts'
import type { BudgetReserve } from './registry-client.ts'

/** What upstream still allows within its window, as far as it has said. Values only. */
export interface Budget {
  /** As last stated; Infinity while nothing is known. */
  readonly stated: number
  readonly statedAt: number
  /** When the latest of the requests set out whose answers stated it. */
  readonly askedAt: number
  readonly limit: number
  /** When the window is over, and all of this is history. */
  readonly endsAt: number
  /** Requests under way that it may not have counted when it stated that. */
  readonly underWay: number
  readonly spentAt: number
  /** How much of it goes in a millisecond of late; it fades since `statedAt`. */
  readonly rate: number
}

export const unknownBudget: Budget = {
  stated: Number.POSITIVE_INFINITY,
  statedAt: 0,
  askedAt: Number.NEGATIVE_INFINITY,
  limit: Number.POSITIVE_INFINITY,
  endsAt: Number.NEGATIVE_INFINITY,
  underWay: 0,
  spentAt: Number.NEGATIVE_INFINITY,
  rate: 0,
}

/** Where neither a window nor a reset is stated. */
const assumedWindowMs = 60_000
/** How long "nothing is left" is believed before one request finds out. */
const believedMs = 60_000
/** Of a long window nobody waits for an even share: a few that ask together still have their turn. */
const longestShareMs = 2_000
/** Over which the rate of spending is taken. */
const rateMs = 600_000

/** A request that counts sets out. */
export function spending(budget: Budget, now: number): Budget {
  return { ...budget, underWay: budget.underWay + 1, spentAt: now }
}

/** It has ended; had it an answer, that was stated before. */
export function spent(budget: Budget): Budget {
  return { ...budget, underWay: Math.max(0, budget.underWay - 1) }
}

/** The answer to what was asked at `askedAt` has said how much is left. */
export function restated(budget: Budget, statement: RateStatement, now: number, askedAt = now): Budget {
  const { remaining, limit, windowMs = assumedWindowMs, resetMs } = statement
  const isOver = now >= budget.endsAt
  // More than before is a new window, unless answers have overtaken each other: then the least of them is the latest.
  const isLater = askedAt > budget.askedAt && remaining > budget.stated + budget.underWay
  const isNew = isOver || isLater
  const fallen = isNew ? 0 : Math.max(0, budget.stated - remaining)
  return {
    ...budget,
    stated: isNew ? remaining : Math.min(budget.stated, remaining),
    statedAt: now,
    askedAt: Math.max(budget.askedAt, askedAt),
    limit: limit ?? Math.max(remaining, isOver ? 0 : budget.limit),
    endsAt: resetMs !== undefined ? now + resetMs : isNew ? now + windowMs : budget.endsAt,
    rate: rateOf(budget, now) + fallen / rateMs,
  }
}

/**
 * Milliseconds until a request may set out; 0: now. What nobody waits for leaves the reserve alone. What somebody waits
 * for may have all there is, spread over the window once only the reserve is left.
 */
export function waitMsOf(budget: Budget, reserve: BudgetReserve, urgent: boolean, now: number): number {
  if (now >= budget.endsAt) return 0
  const kept = keptOf(budget, reserve)
  const floor = urgent ? 0 : kept
  if (budget.stated <= floor) {
    const until = urgent ? Math.min(budget.endsAt, budget.statedAt + believedMs) : budget.endsAt
    if (now < until) return until - now
    return budget.underWay > 0 ? askAgainMs : 0
  }
  const left = budget.stated - budget.underWay
  if (left <= floor) return askAgainMs
  if (!urgent || left > kept) return 0
  const shareMs = Math.min((budget.endsAt - now) / left, longestShareMs)
  return Math.max(0, budget.spentAt + shareMs - now)
}

/** Milliseconds until all is spent at the present rate; `undefined` when the window ends before. */
export function lastsMs(budget: Budget, now: number): number | undefined {
  if (now >= budget.endsAt) return undefined
  const ms = budget.stated / rateOf(budget, now)
  return now + ms < budget.endsAt ? ms : undefined
}

function keptOf({ limit }: Budget, reserve: BudgetReserve): number {
  return reserve.kind === 'requests' ? reserve.requests : Math.ceil(limit * reserve.fraction)
}

function rateOf({ rate, statedAt }: Budget, now: number): number {
  return rate * Math.exp(-Math.max(0, now - statedAt) / rateMs)
}
