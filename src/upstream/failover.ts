import { abandoned, admits, type Breaker, closedBreaker, failed, started, weights } from './breaker.ts'
import { FailedAnswerError, WebPageError } from './failure.ts'
import { UpstreamError } from './registry-client.ts'

/** How long a url is asked last after it broke off within a body. */
const avoidedMs = 30_000
/** How long an answer says that the next one may be hoped for. */
const recentMs = 1_000

/** Several urls of one registry, the ones that do not answer left out for a while. */
export interface Failover<Endpoint> {
  /**
   * Tries the urls in order until one answers, those that lately broke off last; any answer but `down` is the answer.
   * Each url has its even share of `budgetMs`, and what those before it left over. Fails at once when no url may be asked.
   */
  run<Value>(
    budgetMs: number,
    signal: AbortSignal,
    attempt: (endpoint: Endpoint, budgetMs: number) => Promise<Value>,
  ): Promise<Value>
  /** It answered, and broke off within the body. */
  brokeOff(endpoint: Endpoint): void
  isDown(): boolean
  /** None of the urls has answered since it was found not to. */
  isUnreachable(): boolean
  isAnswering(): boolean
}

export function createFailover<Endpoint>(
  name: string,
  endpoints: readonly Endpoint[],
  now: () => number,
): Failover<Endpoint> {
  const guarded = endpoints.map((endpoint) => ({
    endpoint,
    breaker: closedBreaker as Breaker,
    avoidedUntil: Number.NEGATIVE_INFINITY,
  }))
  let answeredAt = Number.NEGATIVE_INFINITY

  async function guard<Value>(
    entry: { breaker: Breaker },
    signal: AbortSignal,
    attempt: () => Promise<Value>,
  ) {
    entry.breaker = started(entry.breaker)
    try {
      const value = await attempt()
      entry.breaker = closedBreaker
      answeredAt = now()
      return value
    } catch (error) {
      entry.breaker = signal.aborted ? abandoned(entry.breaker, now()) : after(entry.breaker, error, now())
      if (!signal.aborted) answeredAt = entry.breaker === closedBreaker ? now() : Number.NEGATIVE_INFINITY
      throw error
    }
  }

  /** Those that may be asked, in the order to try them. */
  function worthAsking() {
    const worth = guarded.filter(({ breaker }) => admits(breaker, now()))
    const isAvoided = ({ avoidedUntil }: { avoidedUntil: number }) => Number(now() < avoidedUntil)
    return worth.sort((one, other) => isAvoided(one) - isAvoided(other))
  }

  return {
    brokeOff(endpoint) {
      const entry = guarded.find((each) => each.endpoint === endpoint)
      if (entry) entry.avoidedUntil = now() + avoidedMs
    },
    isDown: () => guarded.every(({ breaker }) => !admits(breaker, now())),
    isUnreachable: () => guarded.every(({ breaker }) => breaker.kind !== 'closed'),
    isAnswering: () => now() - answeredAt < recentMs,
    async run(budgetMs, signal, attempt) {
      signal.throwIfAborted()
      let last: unknown = new UpstreamError('down', `${name}: did not answer a moment ago`)
      const worth = worthAsking()
      const endsAt = performance.now() + budgetMs
      for (const [index, entry] of worth.entries()) {
        if (!admits(entry.breaker, now())) continue
        const leftMs = (endsAt - performance.now()) / (worth.length - index)
        const share = Math.max(leftMs, budgetMs / worth.length)
        try {
          return await guard(entry, signal, () => attempt(entry.endpoint, share))
        } catch (error) {
          if (signal.aborted || !(error instanceof UpstreamError) || error.kind !== 'down') throw error
          last = error
        }
      }
      throw last
    },
  }
}

/** Whatever a registry said, it is up; a web page is not said by a registry. */
function after(breaker: Breaker, error: unknown, now: number): Breaker {
  if (!(error instanceof UpstreamError)) return abandoned(breaker, now)
  if (error instanceof FailedAnswerError) return failed(breaker, now, weights.failedAnswer)
  return error.kind === 'down' || error instanceof WebPageError ? failed(breaker, now) : closedBreaker
}
