import { UpstreamError } from '../upstream/registry-client.ts'

/** How long to wait before each try in a row that has brought no byte. An upstream that restarts is back within these. */
const backoffMs = [0, 1000, 2000, 4000]
const maxPauseMs = 10_000
/** Who brings less than this at a time is not asked again at once. */
const worthwhileBytes = 64 * 1024
const slowDownMs = 100

/** When a download that broke is worth another try. */
export interface Attempts {
  /** @returns how long to wait before the next one; `undefined`: no more. */
  afterFailure(error: UpstreamError, broughtBytes: number): number | undefined
}

export function createAttempts(): Attempts {
  let fruitless = 0
  return {
    afterFailure(error, broughtBytes) {
      fruitless = broughtBytes > 0 ? 0 : fruitless + 1
      const backoff = backoffMs[fruitless]
      if (backoff === undefined) return undefined
      const slowDown = broughtBytes < worthwhileBytes && broughtBytes > 0 ? slowDownMs : 0
      return Math.max(backoff, slowDown, Math.min(error.retryAfterMs ?? 0, maxPauseMs))
    },
  }
}

/** It may go well the next time. */
export function isPassing(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && (error.kind === 'down' || error.kind === 'limited')
}

export function isLie(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind === 'lying'
}
