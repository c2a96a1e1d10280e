/** Ends what it is given to, at the latest after its time; the timer dies with {@link Deadline.lift} or disposal. */
export interface Deadline extends Disposable {
  /** Aborts with the caller's reason, or when the time is over. */
  readonly signal: AbortSignal
  readonly expired: boolean
  remainingMs(): number
  /** The time no longer counts; the caller's signal still does. */
  lift(): void
}

export function startDeadline(ms: number, signal: AbortSignal): Deadline {
  const clock = new AbortController()
  const endsAt = performance.now() + ms
  const timer = setTimeout(() => clock.abort(new DOMException(`not within ${ms} ms`, 'TimeoutError')), ms)
  const lift = () => clearTimeout(timer)
  return {
    signal: AbortSignal.any([signal, clock.signal]),
    get expired() {
      return clock.signal.aborted
    },
    remainingMs: () => Math.max(0, endsAt - performance.now()),
    lift,
    [Symbol.dispose]: lift,
  }
}
