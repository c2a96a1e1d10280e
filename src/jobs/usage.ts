import { createTurns } from '../flow/turns.ts'
import type { Stored } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'

/** When what was last used: collected here, and written now and then, so that no answer waits for the database. */
export interface Usage extends AsyncDisposable {
  /** It is answered now. */
  used(digest: Digest): void
  /** Its bytes are on their way to somebody until this is disposed of. */
  reading(digest: Digest): Disposable
  /** Somebody reads it, or has used it since the last time uses were written. */
  isInUse(digest: Digest): boolean
  /** Hears of all uses from now on until it is disposed of. */
  watch(): UseWatch
  /** Writes what was collected. */
  flush(): Promise<void>
}

export interface UseWatch extends Disposable {
  has(digest: Digest): boolean
}

export interface UsageOptions {
  stored: Pick<Stored, 'touch'>
  /** Uses that could not be written are written with the next, or forgotten where they are many. */
  onError(error: unknown): void
  now?: () => number
}

const flushMs = 10_000
const mostCollected = 10_000
const mostKept = mostCollected / 2

export function createUsage({ stored, onError, now = Date.now }: UsageOptions): Usage {
  let collected = new Map<Digest, number>()
  /** Collected, and not written yet. */
  let leaving = new Map<Digest, number>()
  const flushes = createTurns()
  const readers = new Map<Digest, number>()
  const watches = new Set<Set<Digest>>()
  const timer = setInterval(() => void flush(), flushMs).unref()

  function flush(): Promise<void> {
    return flushes.take(async () => {
      leaving = collected
      collected = new Map()
      try {
        if (leaving.size > 0) await stored.touch(leaving)
      } catch (error) {
        onError(error)
        if (leaving.size < mostKept) collected = new Map([...leaving, ...collected])
      }
      leaving = new Map()
    })
  }
  function used(digest: Digest): void {
    collected.set(digest, now())
    for (const seen of watches) seen.add(digest)
    if (collected.size >= mostCollected) void flush()
  }
  return {
    used,
    flush,
    reading(digest) {
      used(digest)
      readers.set(digest, (readers.get(digest) ?? 0) + 1)
      let isOver = false
      return {
        [Symbol.dispose]() {
          if (isOver) return
          isOver = true
          used(digest)
          const left = (readers.get(digest) ?? 1) - 1
          if (left > 0) readers.set(digest, left)
          else readers.delete(digest)
        },
      }
    },
    watch() {
      const seen = new Set<Digest>()
      watches.add(seen)
      return {
        has: (digest) => seen.has(digest),
        [Symbol.dispose]: () => void watches.delete(seen),
      }
    },
    isInUse: (digest) => readers.has(digest) || collected.has(digest) || leaving.has(digest),
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await flush()
    },
  }
}
