import { type Budget, lastsMs, restated, spending, spent, unknownBudget, waitMsOf } from './budget.ts'
import { allowed, type CoolDown, coolingMs, limited, noCoolDown, probing, unanswered } from './cool-down.ts'
import type { Ask } from './exchange.ts'
import { FailedAnswerError, TokenLimitError } from './failure.ts'
import { type RateStatement, rateStatementOf } from './rate-limit.ts'
import {
  type BudgetReserve,
  type RegistrySettings,
  UpstreamError,
  type UpstreamLimit,
} from './registry-client.ts'

const defaultReserve: BudgetReserve = { kind: 'fraction', fraction: 0.1 }

/** What is limited apart: Docker Hub, for one, counts manifests and lets blobs pass. */
const lanes = ['manifest', 'blob', 'listing'] as const
type LaneName = (typeof lanes)[number]

const laneOf = { manifest: 'manifest', blob: 'blob', tags: 'listing', referrers: 'listing' } as const

interface Lane {
  coolDown: CoolDown
  budget: Budget
}

/** A request on its way. */
export interface Turn {
  /** The registry itself has answered so. */
  heard(headers: RateHeaders): void
  /** It is over. To be called once. */
  end(): void
  /** It is over, and has failed. @returns what to tell the caller: of a 429 also when to come again */
  fail(error: unknown): unknown
}

type RateHeaders = Parameters<typeof rateStatementOf>[0]

/** What one registry allows to its one credential. */
export interface Limits {
  /** @throws UpstreamError `limited` when upstream is better not asked now. */
  enter(ask: Pick<Ask, 'kind' | 'method' | 'urgent'>): Turn
  isLimited(): boolean
  isSparing(): boolean
  countsOnlyGets(): boolean
  /** Of the kinds of which anything is known. */
  all(): UpstreamLimit[]
}

/** @param time for what counts from one moment to another; `now` is the time of day, which a reset may be given in */
export function createLimits(settings: RegistrySettings, time: () => number, now: () => number): Limits {
  const { name, type, budget: { reserve } = { reserve: defaultReserve } } = settings
  const state: Record<LaneName, Lane> = { manifest: emptyLane(), blob: emptyLane(), listing: emptyLane() }
  let headsCount = false

  function isCounted({ kind, method }: Pick<Ask, 'kind' | 'method'>): boolean {
    return kind !== 'manifest' || method === 'GET' || headsCount
  }

  /** A HEAD that costs shows in what is left, as long as nothing else is under way. */
  function learnFromHead({ budget }: Lane, { remaining }: RateStatement, counted: boolean): void {
    const others = budget.underWay - (counted ? 1 : 0)
    if (type === 'docker-hub' || others > 0 || time() >= budget.endsAt) return
    headsCount = remaining < budget.stated
  }

  function leave(lane: Lane, counted: boolean, error?: unknown): unknown {
    if (counted) lane.budget = spent(lane.budget)
    if (!(error instanceof UpstreamError) || error.kind !== 'limited') {
      lane.coolDown = isAnswer(error) ? allowed(lane.coolDown) : unanswered(lane.coolDown, time())
      return error
    }
    const at = time()
    const told = error instanceof TokenLimitError ? Object.values(state) : [lane]
    for (const each of told) each.coolDown = limited(each.coolDown, error.retryAfterMs, at)
    return refusal(error.message, coolingMs(lane.coolDown, at), error.cause)
  }

  return {
    enter(ask) {
      const { kind, method, urgent = true } = ask
      const lane = state[laneOf[kind]]
      const counted = isCounted(ask)
      const askedAt = time()
      const coolMs = coolingMs(lane.coolDown, askedAt)
      const waitMs = coolMs > 0 || !counted ? coolMs : waitMsOf(lane.budget, reserve, urgent, askedAt)
      if (waitMs > 0) throw refusal(`${name}: limits our requests`, waitMs)
      lane.coolDown = probing(lane.coolDown)
      if (counted) lane.budget = spending(lane.budget, askedAt)
      return {
        heard(headers) {
          const statement = rateStatementOf(headers, now())
          if (!statement) return
          if (kind === 'manifest' && method === 'HEAD') learnFromHead(lane, statement, counted)
          lane.budget = restated(lane.budget, statement, time(), askedAt)
        },
        end: () => void leave(lane, counted),
        fail: (error) => leave(lane, counted, error),
      }
    },
    isLimited: () => coolingMs(state.manifest.coolDown, time()) > 0,
    isSparing: () => waitMsOf(state.manifest.budget, reserve, false, time()) > 0,
    countsOnlyGets: () => type === 'docker-hub' || (time() < state.manifest.budget.endsAt && !headsCount),
    all: () => lanes.flatMap((lane) => limitOf(lane, state[lane], time())),
  }
}

function refusal(message: string, waitMs: number, cause?: unknown): UpstreamError {
  return new UpstreamError('limited', message, { retryAfterMs: Math.round(waitMs), cause })
}

function emptyLane(): Lane {
  return { coolDown: noCoolDown, budget: unknownBudget }
}

/** Upstream has said something, and not that it is too much. */
function isAnswer(error: unknown): boolean {
  if (error === undefined || error instanceof FailedAnswerError) return true
  return error instanceof UpstreamError && error.kind !== 'down'
}

function limitOf(kind: LaneName, { coolDown, budget }: Lane, now: number): UpstreamLimit[] {
  const isKnown = now < budget.endsAt
  const forMs = coolDown.kind === 'cooling' ? coolingMs(coolDown, now) : 0
  if (!isKnown && forMs === 0) return []
  const lasts = lastsMs(budget, now)
  return [
    {
      kind,
      ...(isKnown && { remaining: budget.stated, limit: budget.limit }),
      ...(lasts !== undefined && { lastsMs: lasts }),
      ...(forMs > 0 && { limitedForMs: forMs }),
    },
  ]
}
