import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobStore } from '../blobs/blob-store.ts'
import { type Bandwidth, createBandwidth } from '../flow/bandwidth.ts'
import type { Stored } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'

/** Reads slowly through what is stored, and has fetched again what is no longer right. */
export interface Scrub extends AsyncDisposable {
  /** From now on so; `false`: not at all. */
  follow(rules: ScrubRules | false): void
}

export interface ScrubRules {
  /** How long nothing is looked at again. */
  everyMs: number
  /** Bytes a second that are read at most. */
  rate: number
}

export interface ScrubOptions {
  stored: Pick<Stored, 'longestUnchecked' | 'checked'>
  blobs: Pick<BlobStore, 'check'>
  /** Has it fetched again. */
  heal(digest: Digest, signal: AbortSignal): Promise<unknown>
  rules: ScrubRules | false
  onLooked?(outcome: 'right' | 'wrong'): void
  onRead?(bytes: number): void
  onError(error: unknown): void
  now?: () => number
}

const pageRows = 100
/** What a small blob counts of the rate, too: to open a file costs about as much as to read so much of it. */
const leastBytes = 256 * 1024
const noteMs = 10_000
/** After what could not be read, or not be healed, it is tried again. */
const againMs = 3_600_000
/** Between two looks whether it is time for anything. */
const mostIdleMs = 60_000

export function createScrub(options: ScrubOptions): Scrub {
  const { stored, blobs, heal, onError, now = Date.now } = options
  const stop = new AbortController()
  const { signal } = stop
  let { rules } = options
  let bandwidth = bandwidthOf(rules)
  let changed = Promise.withResolvers<void>()

  const take = (count: number) => bandwidth?.take(count, () => false, signal) ?? Promise.resolve()
  const pace = (count: number) => {
    options.onRead?.(count)
    return take(count)
  }

  /** @returns whether it is right now; else it is noted that its turn comes soon */
  async function look(digest: Digest, { everyMs }: ScrubRules): Promise<boolean> {
    let bytes = 0
    try {
      const outcome = await blobs.check(
        digest,
        (count) => {
          bytes += count
          return pace(count)
        },
        signal,
      )
      options.onLooked?.(outcome === 'right' ? 'right' : 'wrong')
      if (outcome !== 'right') await heal(digest, signal)
      return true
    } catch (error) {
      unlessStopped(error)
      // As if it had been looked at so long ago that its turn comes soon.
      await stored.checked([digest], now() - everyMs + Math.min(everyMs, againMs))
      return false
    } finally {
      if (bytes < leastBytes && !signal.aborted) await take(leastBytes - bytes)
    }
  }
  /** What was right is noted together: each note waits for the disk. */
  async function lookAt(digests: readonly Digest[]): Promise<void> {
    let right: Digest[] = []
    let notedAt = performance.now()
    async function note(): Promise<void> {
      await stored.checked(right, now())
      right = []
      notedAt = performance.now()
    }
    try {
      for (const digest of digests) {
        signal.throwIfAborted()
        if (rules && (await look(digest, rules))) right.push(digest)
        if (performance.now() - notedAt > noteMs) await note()
      }
    } finally {
      await note()
    }
  }
  /** Whatever it is time for. */
  async function pass(): Promise<void> {
    while (rules) {
      const digests = await stored.longestUnchecked(now() - rules.everyMs, pageRows)
      if (digests.length === 0) return
      await lookAt(digests)
    }
  }
  function unlessStopped(error: unknown): void {
    signal.throwIfAborted()
    onError(error)
  }
  async function run(): Promise<void> {
    while (!signal.aborted) {
      await pass().catch(unlessStopped)
      const idle = sleep(Math.min(mostIdleMs, rules ? rules.everyMs : mostIdleMs), undefined, {
        signal,
        ref: false,
      })
      await Promise.race([idle, changed.promise])
    }
  }
  const running = run().catch(() => {})

  return {
    follow(next) {
      rules = next
      // What is being looked at is not read any faster because it is the last.
      if (next) bandwidth = bandwidthOf(next)
      changed.resolve()
      changed = Promise.withResolvers()
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the node is stopping'))
      await running
    },
  }
}

function bandwidthOf(rules: ScrubRules | false): Bandwidth | undefined {
  return rules ? createBandwidth(() => rules.rate) : undefined
}
