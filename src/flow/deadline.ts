/** Ends what it is given to, at the latest after its time; the timer dies with {@link Deadline.lift} or disposal. */
export interface Deadline extends Disposable {
  /** Aborts with the caller's reason, or when the time is over. */
  readonly signal: AbortSignal
  readonly expired: boolean
  /** The time no longer counts; the caller's signal still does. */
  lift(): void
}

export function startDeadline(ms: number, signal: AbortSignal): Deadline {
  const clock = new AbortController()
  const timer = setTimeout(() => clock.abort(new DOMException(`not within ${ms} ms`, 'TimeoutError')), ms)
  const lift = () => clearTimeout(timer)
  return {
    signal: AbortSignal.any([signal, clock.signal]),
    get expired() {
      return clock.signal.aborted
    },
    lift,
    [Symbol.dispose]: lift,
  }
}
