import type { BlobStore } from '../blobs/blob-store.ts'
import type { Room } from '../fill/room.ts'
import type { HeldRow, Stored, StoredRow } from '../metadata/metadata.ts'
import type { Pattern } from '../oci/pattern.ts'
import { evictionsOf } from './evictions.ts'
import type { Usage } from './usage.ts'

/** Keeps what was fetched within its budget, and leaves the rest of the disk to others. */
export interface Space extends Room, AsyncDisposable {
  /** From now on these rules hold. */
  follow(settings: SpaceRules): void
  /** Evicts what the rules want gone now, for its age too. */
  tidy(): Promise<void>
}

export interface SpaceRules {
  /** Bytes; absent: 80 % of the disk. */
  budget?: number
  /** Fractions of the budget at which eviction begins and ends. */
  high: number
  low: number
  /** Fraction of the disk that cached bytes may not take. */
  reserve: number
  maxAgeMs?: number
  /** Repositories whose content stays. */
  pins: readonly Pattern[]
}

export interface SpaceOptions {
  stored: Stored
  blobs: Pick<BlobStore, 'remove'>
  usage: Pick<Usage, 'isInUse' | 'flush'>
  /** Of the disk that holds the blobs. */
  disk(): Promise<DiskSpace>
  settings: SpaceRules
  /** Something was evicted. */
  onEvicted(count: number, bytes: number): void
  onError(error: unknown): void
  now?: () => number
}

export interface DiskSpace {
  totalBytes: number
  freeBytes: number
}

/** The cache is full of what must not go. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError'
  /** As of a disk that is full: what does not fit is passed on, and not kept. */
  readonly code = 'ENOSPC'
}

const tidyMs = 60_000
/** Rows that are looked at, and files that are unlinked, between two looks at how much is needed. */
const pageRows = 200
/** When nothing that may go is left, it is looked for again only after this. */
const barrenMs = 1_000

export async function openSpace(options: SpaceOptions): Promise<Space> {
  const { stored, blobs, usage, now = Date.now } = options
  let { settings } = options
  await stored.reconcile()
  let storedBytes = await stored.bytes()
  /** Of them, what is being noted and may not be seen yet. */
  let unnotedBytes = 0
  /** For blobs on their way. */
  let takenBytes = 0
  let barrenUntil = Number.NEGATIVE_INFINITY
  let running: Promise<void> = Promise.resolve()
  let isClosed = false
  const timer = setInterval(() => void tidy().catch(options.onError), tidyMs).unref()

  function budgetOf({ totalBytes }: DiskSpace): number {
    return settings.budget ?? 0.8 * totalBytes
  }
  /** How many bytes are too many when no more than `share` of the budget may be used. */
  function excess(disk: DiskSpace, share: number): number {
    const overBudget = storedBytes + takenBytes - share * budgetOf(disk)
    const intoReserve = settings.reserve * disk.totalBytes - (disk.freeBytes - takenBytes)
    return Math.max(overBudget, intoReserve)
  }

  /** One round at a time. */
  function evict(unusedSince: number): Promise<void> {
    const round = running.then(() => evictNow(unusedSince))
    running = round.catch(() => {})
    return round
  }
  /** What is too old is looked for now and then; a blob that comes is no reason to. */
  const makeRoom = () => evict(Number.NEGATIVE_INFINITY)
  const tidy = () => evict(now() - (settings.maxAgeMs ?? Number.POSITIVE_INFINITY))

  async function evictNow(unusedSince: number): Promise<void> {
    if (isClosed) return
    const disk = await options.disk()
    // Where all of it would not be enough, others have filled the disk: what is here serves better than nothing.
    const isFull = excess(disk, settings.high) > 0 && excess(disk, 1) <= storedBytes && now() >= barrenUntil
    if (!isFull && unusedSince === Number.NEGATIVE_INFINITY) return
    await usage.flush()
    const { pins } = settings
    let bytes = isFull ? excess(disk, settings.low) : 0
    let after: StoredRow | undefined
    do {
      const rows = await stored.leastUsed(after, pageRows)
      bytes -= await remove(evictionsOf(rows, { bytes, unusedSince, pins, isInUse: usage.isInUse }))
      after = rows.at(-1)
    } while (after && (bytes > 0 || after.usedAt < unusedSince))
    if (bytes > 0) barrenUntil = now() + barrenMs
    storedBytes = (await stored.bytes()) + unnotedBytes
  }

  /** The bytes first: a link to what is not there is a reason to fetch it, a file without a link is lost. */
  async function remove(rows: readonly HeldRow[]): Promise<number> {
    for (const { digest } of rows) await blobs.remove(digest)
    await stored.remove(rows)
    const bytes = rows.reduce((sum, { size }) => sum + size, 0)
    storedBytes -= bytes
    if (rows.length > 0) options.onEvicted(rows.length, bytes)
    return bytes
  }

  return {
    tidy,
    follow(next) {
      settings = next
      barrenUntil = Number.NEGATIVE_INFINITY
      tidy().catch(options.onError)
    },
    async take(bytes) {
      const fits = async () => excess(await options.disk(), 1) <= 0
      takenBytes += bytes
      try {
        if (await fits()) return
        await makeRoom()
        if (!(await fits()))
          throw new NoRoomError(`no room for ${bytes} bytes beside what is in use or pinned`)
      } catch (error) {
        takenBytes -= bytes
        throw error
      }
    },
    giveBack(bytes) {
      takenBytes -= bytes
    },
    kept(digest, size) {
      takenBytes -= size
      storedBytes += size
      unnotedBytes += size
      stored
        .put({ digest, size, usedAt: now() })
        .finally(() => {
          unnotedBytes -= size
        })
        .then(makeRoom)
        .catch(options.onError)
    },
    async [Symbol.asyncDispose]() {
      isClosed = true
      clearInterval(timer)
      await running
    },
  }
}
