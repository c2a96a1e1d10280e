import { setTimeout as sleep } from 'node:timers/promises'
import { UpstreamError } from '../upstream/registry-client.ts'

/** Within every client's patience for a response head (containerd: 30 s), and within what we promise. */
const patienceMs = 10_000
/** An upstream that says "now" with a 429 does not mean it. */
const minPauseMs = 1000

/**
 * Asks again when upstream says 429 and when, instead of passing it on: a 429 makes podman wait a multiple of it and
 * containerd ask five times within milliseconds.
 */
export async function paced<Value>(ask: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
  for (let left = patienceMs; ; ) {
    try {
      return await ask()
    } catch (error) {
      const waitMs =
        error instanceof UpstreamError && error.kind === 'limited' ? (error.retryAfterMs ?? left) : Infinity
      if (waitMs >= left) throw error
      const pauseMs = Math.max(waitMs, minPauseMs)
      left -= pauseMs
      await sleep(pauseMs, undefined, { signal })
    }
  }
}
