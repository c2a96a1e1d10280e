import { LRUCache } from 'lru-cache'
import { UpstreamError } from '../upstream/registry-client.ts'

/** Short, so that what appears upstream is found soon; long enough for a client's retries and a fleet's. */
const rememberMs = 15_000
const maxMisses = 10_000

/** Remembers for a moment that upstream has not got a thing, or does not give it to us. Failures are not misses. */
export interface Misses {
  /** Runs `ask`, unless its last outcome still holds. */
  guard<Value>(key: string, ask: () => Promise<Value>): Promise<Value>
}

export function createMisses(now: () => number = () => performance.now()): Misses {
  const known = new LRUCache<string, UpstreamError>({ max: maxMisses, ttl: rememberMs, perf: { now } })
  return {
    async guard(key, ask) {
      const miss = known.get(key)
      if (miss) throw miss
      try {
        return await ask()
      } catch (error) {
        if (error instanceof UpstreamError && (error.kind === 'absent' || error.kind === 'refused')) {
          known.set(key, error)
        }
        throw error
      }
    },
  }
}
