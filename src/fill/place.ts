import type { Permit } from './admission.ts'

/** A place among the fills, which may be asked back. */
export interface Place extends Disposable {
  take(signal: AbortSignal): Promise<void>
  /** Aborts when it is to be left. */
  readonly yielded: AbortSignal
  leave(): void
}

const never = new AbortController().signal

export function createPlace(admit: (signal: AbortSignal) => Promise<Permit>): Place {
  let permit: Permit | undefined
  function leave(): void {
    permit?.[Symbol.dispose]()
    permit = undefined
  }
  return {
    async take(signal) {
      permit = await admit(signal)
    },
    get yielded() {
      return permit?.yielded ?? never
    },
    leave,
    [Symbol.dispose]: leave,
  }
}
