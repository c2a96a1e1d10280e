import { setTimeout as sleep } from 'node:timers/promises'
import { noteWait } from '../flow/request-scope.ts'
import { UpstreamError } from '../upstream/registry-client.ts'

/** Within every client's patience for a response head (containerd: 30 s), and within what we promise. */
const patienceMs = 10_000

/**
 * Asks again when upstream allows it, instead of passing its 429 on: a 429 makes podman wait a multiple of it and
 * containerd ask five times within milliseconds.
 */
export type Paced = <Value>(ask: () => Promise<Value>, signal: AbortSignal) => Promise<Value>

/** For what has another answer, that need not wait. */
export const atOnce: Paced = (ask) => ask()

/** All that one answer needs is asked through one of these: it waits for 10 s at most, in all. */
export function createPaced(): Paced {
  let left = patienceMs
  return async (ask, signal) => {
    while (true) {
      try {
        return await ask()
      } catch (error) {
        const isLimit = error instanceof UpstreamError && error.kind === 'limited'
        const waitMs = isLimit ? (error.retryAfterMs ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
        if (waitMs >= left) throw error
        left -= waitMs
        // A timer may be early by a fraction of a millisecond.
        const since = performance.now()
        await sleep(waitMs + 1, undefined, { signal })
        noteWait('limit', since)
      }
    }
  }
}
