/** At most so many holders at once; the others wait in order. */
export interface Slots {
  readonly free: number
  /** From now on so many. Who holds one keeps it. */
  limit(most: number): void
  /** @returns the function that gives the slot back; calling it again does nothing. */
  acquire(signal: AbortSignal): Promise<() => void>
  /** One that is free now, and that nobody waits for. */
  tryAcquire(): (() => void) | undefined
}

export function createSlots(initial: number): Slots {
  let limit = initial
  let held = 0
  const waiting = new Set<() => void>()

  function release(): void {
    held -= 1
    const [next] = waiting
    if (held < limit) next?.()
  }

  function take(): () => void {
    held += 1
    let given = false
    return () => {
      if (given) return
      given = true
      release()
    }
  }

  return {
    get free() {
      return limit - held
    },
    limit(most) {
      limit = most
      for (const enter of [...waiting].slice(0, Math.max(0, limit - held))) enter()
    },
    tryAcquire: () => (held < limit ? take() : undefined),
    acquire(signal) {
      if (signal.aborted) return Promise.reject(signal.reason)
      if (held < limit) return Promise.resolve(take())
      return new Promise((resolve, reject) => {
        const leave = () => {
          waiting.delete(enter)
          reject(signal.reason)
        }
        const enter = () => {
          waiting.delete(enter)
          signal.removeEventListener('abort', leave)
          resolve(take())
        }
        waiting.add(enter)
        signal.addEventListener('abort', leave, { once: true })
      })
    },
  }
}
