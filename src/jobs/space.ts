import type { BlobStore } from '../blobs/blob-store.ts'
import type { Leftovers } from '../fill/leftovers.ts'
import type { Holds } from '../flow/holds.ts'
import { createTurns } from '../flow/turns.ts'
import type { Stored, StoredRow } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Pattern } from '../oci/pattern.ts'
import type { IdleUploads, UploadsRoom } from '../push/upload-room.ts'
import { evictionsOf } from './evictions.ts'
import type { Pins } from './pins.ts'
import { createRemoval, type GivenUp, type ReasonsToStay } from './removal.ts'
import { createRounds } from './rounds.ts'
import type { Usage } from './usage.ts'

/** Keeps what was fetched within its budget, and leaves the rest of the disk to others. */
export interface Space extends UploadsRoom, AsyncDisposable {
  state(): SpaceState
  /** From now on these rules hold. */
  follow(settings: SpaceRules): void
  /** Evicts what the rules want gone now, for its age too. */
  tidy(): Promise<void>
  /**
   * Evicts those of `digests` that are stored and that nothing speaks against, in a round of its own.
   * @param reasons why some of them stay, asked when nobody can add to them any more
   * @param dry nothing goes; what would is told all the same
   */
  giveUp(digests: readonly Digest[], reasons: ReasonsToStay, dry: boolean): Promise<GivenUp>
  /** Other pins hold: resolves when no round knows only the old ones. */
  repinned(): Promise<void>
  /** Begins nothing more; what waits for room is told that there is none. */
  stop(): void
}

export interface SpaceState {
  /** Kept, on their way (unfinished uploads, too), and left of fills that ended early. */
  bytes: number
  /** As many may be kept. */
  limitBytes: number
  /** Why there is less room than the rules want: nothing that is here may go, or all of it would not be enough. */
  shortage: 'nothing may go' | 'others' | undefined
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
  stored: Pick<Stored, 'bytes' | 'leastUsed' | 'held' | 'remove'>
  blobs: Pick<BlobStore, 'remove'>
  leftovers: Pick<Leftovers, 'bytes' | 'drop'>
  /** Asked when bytes are too many. */
  idleUploads(): IdleUploads
  /** Besides those of the rules. */
  pins: Pick<Pins, 'patterns'>
  usage: Pick<Usage, 'isInUse' | 'flush'>
  holds: Pick<Holds<Digest>, 'claim'>
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
/** Rows that are looked at, and files that are unlinked, in one turn. */
const pageRows = 200
/** When nothing that may go is left, it is looked for again only after this. */
const barrenMs = 1_000
/** What was left of a fill and nobody has asked for again is no use after this. */
const leftoverMs = 24 * 3_600_000

export async function openSpace(options: SpaceOptions): Promise<Space> {
  const { stored, leftovers, usage, holds, now = Date.now } = options
  let { settings } = options
  const firstDisk = await options.disk()
  let storedBytes = await stored.bytes()
  /** Kept since the count began that `storedBytes` will come from. */
  let keptMeanwhile = 0
  /** For blobs on their way, and what of them is on the disk. */
  let takenBytes = 0
  let landedBytes = 0
  /** By `performance.now()`. */
  let barrenUntil = Number.NEGATIVE_INFINITY
  let shortage: SpaceState['shortage']
  let isClosed = false
  /** Nothing up to there may go, as was found a while ago: what is pinned is mostly old. */
  let stays: StoredRow | undefined
  /** One round at a time, else each of them would evict as much; one for what is too old gives way after every page. */
  const rounds = createRounds()
  const takers = createTurns()
  const timer = setInterval(() => void tidy().catch(options.onError), tidyMs).unref()

  const limitBytes = (diskBytes = firstDisk.totalBytes) => settings.budget ?? 0.8 * diskBytes
  const usedBytes = () => storedBytes + takenBytes + leftovers.bytes
  /** How many bytes are too many when no more than `share` of the budget may be used. */
  function excess({ totalBytes, freeBytes }: DiskSpace, share: number): number {
    const overBudget = usedBytes() - share * limitBytes(totalBytes)
    const intoReserve = settings.reserve * totalBytes - (freeBytes - (takenBytes - landedBytes))
    return Math.max(overBudget, intoReserve)
  }
  /** Manifests are stored without a word here, and some blobs come twice. */
  async function count(): Promise<void> {
    keptMeanwhile = 0
    const bytes = await stored.bytes()
    storedBytes = bytes + keptMeanwhile
  }
  /** How many bytes are to go, if any: where all of it would not be enough, what is here serves better than nothing. */
  async function tooMany(): Promise<number> {
    const disk = await options.disk()
    if (excess(disk, settings.high) > 0 && performance.now() < barrenUntil) return 0
    if (excess(disk, settings.high) > 0) await count()
    shortage = undefined
    if (excess(disk, settings.high) <= 0) return 0
    if (excess(disk, 1) <= storedBytes + leftovers.bytes + options.idleUploads().bytes)
      return excess(disk, settings.low)
    shortage = 'others'
    return 0
  }

  const { remove, giveUp } = createRemoval({
    ...options,
    isClosed: () => isClosed,
    onRemoved(rows) {
      const bytes = bytesOf(rows)
      storedBytes -= bytes
      options.onEvicted(rows.length, bytes)
    },
  })
  const makeRoom = () => rounds.take(evict)
  /** What is too old is looked for now and then; a blob that comes is no reason to. */
  async function tidy(): Promise<void> {
    stays = undefined
    await count()
    await leftovers.drop(0, Math.min(now(), Date.now()) - leftoverMs)
    const unusedSince = now() - (settings.maxAgeMs ?? Number.POSITIVE_INFINITY)
    const rules = settings
    let after: StoredRow | undefined
    while (!isClosed && settings === rules && (after?.usedAt ?? Number.NEGATIVE_INFINITY) < unusedSince) {
      const beganAt = performance.now()
      await usage.flush()
      const { last } = await rounds.take(() => evictPage(after, 0, unusedSince))
      if (!last) break
      after = last
      await rounds.restAfter(beganAt)
    }
    await makeRoom()
  }
  async function evict(): Promise<void> {
    let bytes = await tooMany()
    if (bytes <= 0) return
    bytes -= await leftovers.drop(bytes, Number.NEGATIVE_INFINITY)
    if (bytes > 0) bytes -= await options.idleUploads().drop(bytes)
    // Once: what is used from now on would else come again behind what is looked at, without an end.
    await usage.flush()
    const rules = settings
    let found = false
    // What other rules want is for the next round.
    for (let after = stays; bytes > 0 && !isClosed && settings === rules; ) {
      const beganAt = performance.now()
      const page = await evictPage(after, bytes, Number.NEGATIVE_INFINITY)
      bytes -= page.bytes
      found ||= page.bytes > 0
      if (!page.last) break
      after = page.last
      if (!found && settings === rules) stays = after
      if (bytes > 0) await rounds.restAfter(beganAt)
    }
    if (bytes <= 0 || settings !== rules) return
    barrenUntil = performance.now() + barrenMs
    if (excess(await options.disk(), 1) > 0) shortage = 'nothing may go'
  }

  async function evictPage(after: StoredRow | undefined, bytes: number, unusedSince: number) {
    const rows = await stored.leastUsed(after, pageRows)
    const { isInUse } = usage
    using claim = holds.claim(rows.map(({ digest }) => digest).filter((digest) => !isInUse(digest)))
    // Once more: now nobody adds to them.
    const held = await stored.held(claim.keys)
    const seen = new Map(rows.map(({ digest, usedAt }) => [digest, usedAt]))
    const unused = held.filter(({ digest, usedAt }) => usedAt === seen.get(digest))
    const pins = [...settings.pins, ...options.pins.patterns()]
    const removed = await remove(evictionsOf(unused, { bytes, unusedSince, pins, isInUse }))
    return { bytes: bytesOf(removed), last: rows.at(-1) }
  }

  async function take(bytes: number): Promise<void> {
    const fits = async () => excess(await options.disk(), 1) <= 0
    takenBytes += bytes
    try {
      if (await fits()) return
      await rounds.urgently(evict)
      if (await fits()) return
    } catch (cause) {
      takenBytes -= bytes
      throw new NoRoomError(`no room for ${bytes} bytes: what is here could not be evicted`, { cause })
    }
    takenBytes -= bytes
    throw new NoRoomError(`no room for ${bytes} bytes beside what is in use or pinned`)
  }
  function stop(): void {
    isClosed = true
    rounds.stop()
    clearInterval(timer)
  }
  function giveBack(bytes: number, landed: number): void {
    takenBytes -= bytes
    landedBytes -= landed
  }

  return {
    state: () => ({ bytes: usedBytes(), limitBytes: limitBytes(), shortage }),
    tidy,
    follow(next) {
      settings = next
      barrenUntil = Number.NEGATIVE_INFINITY
      stays = undefined
      tidy().catch(options.onError)
    },
    giveUp: (digests, reasons, dry) => rounds.urgently(() => giveUp(digests, reasons, dry)),
    repinned: () =>
      rounds.urgently(async () => {
        barrenUntil = Number.NEGATIVE_INFINITY
        stays = undefined
      }),
    take: (bytes) => takers.take(() => take(bytes)),
    landed(bytes) {
      landedBytes += bytes
    },
    found(bytes) {
      takenBytes += bytes
      landedBytes += bytes
    },
    async mostBytes() {
      const { totalBytes } = await options.disk()
      return Math.min(limitBytes(totalBytes), (1 - settings.reserve) * totalBytes)
    },
    giveBack,
    kept(bytes) {
      storedBytes += bytes
      keptMeanwhile += bytes
      makeRoom().catch(options.onError)
    },
    stop,
    async [Symbol.asyncDispose]() {
      stop()
      await rounds.take(async () => {})
    },
  }
}

function bytesOf(rows: readonly StoredRow[]): number {
  return rows.reduce((sum, { size }) => sum + size, 0)
}
