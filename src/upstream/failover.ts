import { abandoned, admits, type Breaker, closedBreaker, failed, started, weights } from './breaker.ts'
import { FailedAnswerError, WebPageError } from './failure.ts'
import { UpstreamError } from './registry-client.ts'

const defaultCoolDownMs = 5_000
const maxCoolDownMs = 60_000
/** How long an answer says that the next one may be hoped for. */
const recentMs = 1_000

/** Several urls of one registry, the ones that do not answer left out for a while. */
export interface Failover<Endpoint> {
  /**
   * Tries the urls in order until one answers; any answer but `down` is the answer. Each url has its even share of
   * `budgetMs`, and what those before it left over. Fails at once when no url may be asked.
   */
  run<Value>(
    budgetMs: number,
    signal: AbortSignal,
    attempt: (endpoint: Endpoint, budgetMs: number) => Promise<Value>,
  ): Promise<Value>
  isDown(): boolean
  isLimited(): boolean
  isAnswering(): boolean
}

export function createFailover<Endpoint>(
  name: string,
  endpoints: readonly Endpoint[],
  now: () => number,
): Failover<Endpoint> {
  const guarded = endpoints.map((endpoint) => ({ endpoint, breaker: closedBreaker as Breaker }))
  let coolUntil = 0
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
      if (error instanceof UpstreamError && error.kind === 'limited') coolDown(error)
      throw error
    }
  }

  function coolDown({ retryAfterMs = defaultCoolDownMs }: UpstreamError): void {
    coolUntil = Math.max(coolUntil, now() + Math.min(retryAfterMs, maxCoolDownMs))
  }

  return {
    isDown: () => now() < coolUntil || guarded.every(({ breaker }) => !admits(breaker, now())),
    isLimited: () => now() < coolUntil,
    isAnswering: () => now() - answeredAt < recentMs,
    async run(budgetMs, signal, attempt) {
      signal.throwIfAborted()
      const waitMs = coolUntil - now()
      if (waitMs > 0)
        throw new UpstreamError('limited', `${name}: limits our requests`, { retryAfterMs: waitMs })
      let last: unknown = new UpstreamError('down', `${name}: did not answer a moment ago`)
      const worth = guarded.filter(({ breaker }) => admits(breaker, now()))
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
