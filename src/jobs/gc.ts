import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { createGates } from '../flow/gates.ts'
import { createHolds } from '../flow/holds.ts'
import { copyUsedDatabase } from '../metadata/copy-database.ts'
import { openMetadata } from '../metadata/open-metadata.ts'
import { collectGarbage, type GarbageAges, type GarbageEvent, type GarbageOptions } from './garbage.ts'
import { createRounds } from './rounds.ts'

/** Collects garbage now and then, and when it is told to. */
export interface Gc extends AsyncDisposable {
  /** From now on so. */
  follow(rules: GcRules): void
  /** See {@link collectGarbage}; goes before what is collected by itself. */
  run(request: GcRequest, signal: AbortSignal): AsyncGenerator<GarbageEvent, void>
  /** Whether the last run could not do all that it should. */
  hasFailed(): boolean
}

export interface GcRules extends GarbageAges {
  /** `false`: only when it is told to. */
  everyMs: number | false
}

export interface GcRequest {
  /** Nothing goes; what would is told. */
  dry: boolean
  /** Instead of that of the rules. */
  untaggedMs?: number
}

export interface GcOptions extends Omit<GarbageOptions, 'page'> {
  /** File of the database, and a folder on the same disk that is cleared at every start. */
  database: string
  drafts: string
  rules: GcRules
  /** A run that was no dry one is over. */
  onEnd(end: GcEnd): void
}

export interface GcEnd {
  manifests: number
  blobs: number
  parts: number
  bytes: number
  ms: number
  /** `stopped`: whoever wanted it wants it no more. */
  outcome: 'done' | 'failed' | 'stopped'
  error?: unknown
}

/** A client that was told of a blob just before the node was killed gets on with its push first: uses are noted late. */
const firstMs = 10 * 60_000
/** After what failed. */
const againMs = 3_600_000
const mostIdleMs = 60_000

export function createGc(options: GcOptions): Gc {
  const stop = new AbortController()
  const rounds = createRounds()
  let { rules } = options
  let failed = false
  /** By `performance.now()`. */
  const startedAt = performance.now()
  let endedAt: number | undefined
  let changed = new AbortController()

  /** Notes what became of a run, whoever asked for it. */
  async function* noted(
    events: AsyncGenerator<GarbageEvent, void>,
    signal: AbortSignal,
  ): AsyncGenerator<GarbageEvent, void> {
    const beganAt = performance.now()
    const sums = { manifests: 0, blobs: 0, parts: 0, bytes: 0 }
    let end: Pick<GcEnd, 'outcome' | 'error'> = { outcome: 'stopped' }
    try {
      for await (const event of events) {
        sums.bytes += event.kind === 'end' ? 0 : event.bytes
        if (event.kind === 'unlinked') sums.parts += event.parts
        if (event.kind === 'repository') {
          sums.manifests += event.manifests
          sums.blobs += event.blobs
        }
        yield event
      }
      end = { outcome: 'done' }
    } catch (error) {
      if (!signal.aborted) end = { outcome: 'failed', error }
      throw error
    } finally {
      const now = performance.now()
      if (end.outcome !== 'stopped') {
        failed = end.outcome === 'failed'
        endedAt = now
      }
      options.onEnd({ ...sums, ms: Math.round(now - beganAt), ...end })
    }
  }

  async function byItself(): Promise<void> {
    const page: GarbageOptions['page'] = async (work) => {
      const beganAt = performance.now()
      const value = await rounds.take(work)
      await rounds.restAfter(beganAt)
      return value
    }
    const signal = AbortSignal.any([changed.signal, stop.signal])
    for await (const _ of noted(collectGarbage({ ...options, page }, rules, signal), signal));
  }

  /** How long until the next run; `undefined` for never. */
  function waitMs(): number | undefined {
    const { everyMs } = rules
    if (everyMs === false) return undefined
    const dueAt =
      endedAt === undefined
        ? startedAt + Math.min(everyMs, firstMs)
        : endedAt + (failed ? Math.min(everyMs, againMs) : everyMs)
    return Math.max(0, dueAt - performance.now())
  }
  async function follow(): Promise<void> {
    while (!stop.signal.aborted) {
      const ms = waitMs()
      if (ms === 0) await byItself().catch(() => {})
      else {
        const signal = AbortSignal.any([changed.signal, stop.signal])
        const idle = sleep(Math.min(mostIdleMs, ms ?? mostIdleMs), undefined, { signal, ref: false })
        await idle.catch(() => {})
      }
    }
  }
  const following = follow()

  return {
    hasFailed: () => failed,
    follow(next) {
      if (isDeepStrictEqual(rules, next)) return
      rules = next
      changed.abort(new Error('other rules hold'))
      changed = new AbortController()
    },
    async *run({ dry, untaggedMs }, asked) {
      const signal = AbortSignal.any([asked, stop.signal])
      const ages = { ...rules, ...(untaggedMs !== undefined && { untaggedMs }) }
      if (dry) return yield* dryRun(options, ages, signal)
      const page: GarbageOptions['page'] = (work) => rounds.urgently(work)
      yield* noted(collectGarbage({ ...options, page }, ages, signal), signal)
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the node is stopping'))
      rounds.stop()
      await following
      await rounds.take(async () => {})
    },
  }
}

/** What a run would do is what one does to a copy of the database, without the files. */
async function* dryRun(
  options: GcOptions,
  ages: GarbageAges,
  signal: AbortSignal,
): AsyncGenerator<GarbageEvent, void> {
  const file = join(options.drafts, `${randomUUID()}.db`)
  await options.usage.flush()
  await copyUsedDatabase(options.database, file)
  try {
    const metadata = await openMetadata({ file, durability: 'fast' })
    try {
      const apart = { metadata, holds: createHolds<never>(), gates: createGates<never>() }
      const blobs = { remove: async () => {} }
      yield* collectGarbage({ ...options, ...apart, blobs, page: (work) => work() }, ages, signal)
    } finally {
      await metadata.close()
    }
  } finally {
    for (const suffix of ['', '-wal', '-shm']) await rm(`${file}${suffix}`, { force: true })
  }
}
