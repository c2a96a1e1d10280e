import { setTimeout as sleep } from 'node:timers/promises'
import { createTurns } from '../flow/turns.ts'

/** One round of work at a time, which may rest while nobody waits for its end. */
export interface Rounds {
  take<Value>(round: () => Promise<Value>): Promise<Value>
  /** As {@link take}; what is under way rests no more until this is through. */
  urgently<Value>(round: () => Promise<Value>): Promise<Value>
  /** Lets others go first for some times as long as what was done since `beganAt`, by `performance.now()`. */
  restAfter(beganAt: number): Promise<void>
  /** Nothing rests any more. */
  stop(): void
}

const restTimes = 4
const mostRestMs = 2_000

export function createRounds(): Rounds {
  const turns = createTurns()
  let waiting = 0
  let hurry = new AbortController()
  let isStopped = false
  return {
    take: (round) => turns.take(round),
    async urgently(round) {
      waiting += 1
      hurry.abort()
      try {
        return await turns.take(round)
      } finally {
        waiting -= 1
        if (waiting === 0) hurry = new AbortController()
      }
    },
    async restAfter(beganAt) {
      if (waiting > 0 || isStopped) return
      const ms = Math.min(mostRestMs, restTimes * (performance.now() - beganAt))
      await sleep(ms, undefined, { signal: hurry.signal, ref: false }).catch(() => {})
    },
    stop() {
      isStopped = true
      hurry.abort()
    },
  }
}
