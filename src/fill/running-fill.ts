import { join } from 'node:path'
import type { BlobStore, Growing, OpenBlob } from '../blobs/blob-store.ts'
import { orAbandon } from '../flow/abandon.ts'
import { startDeadline } from '../flow/deadline.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Holds } from '../flow/holds.ts'
import { noteWait } from '../flow/request-scope.ts'
import type { Slots } from '../flow/slots.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Metrics } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import type { Admission } from './admission.ts'
import { createFill, type Fill } from './fill.ts'
import type { InFlight } from './in-flight.ts'
import type { Leftovers } from './leftovers.ts'
import type { Room } from './room.ts'
import type { BlobSource } from './talk.ts'

export interface FillRequest {
  digest: Digest
  /** Who asks, and will hold the blob. */
  repository: RepositoryName
  /** The address it is asked from; one must not keep the others from theirs. */
  client: string
  /** Name of the registry that the bytes come from. */
  registry: string
  statedSize?: number
  source: BlobSource
  /** The asker holds the blob already: what was here of it and has rotten, may be mended for it. */
  mends?: boolean
  /**
   * Ends when nobody wants the blob any more: so does the fill then, unless somebody else has {@link Fills.find found} it.
   * What has landed stays.
   */
  wanted?: AbortSignal
  /** A fill of its own, for who must prove by downloading that it may have bytes that others hold already. */
  apart?: boolean
}

export interface RunningFill {
  readonly digest: Digest
  readonly registry: string
  /** The repositories that will hold the blob. */
  readonly repositories: ReadonlySet<RepositoryName>
  readonly done: Promise<void>
  /** Bytes that have come from upstream for it. */
  readonly arrivedBytes: number
  /** Nobody wanted it any more. */
  readonly isEnding: boolean
  /** From now on it goes on whoever leaves. @returns `false` when it is ending */
  claim(): boolean
  /** Resolves with {@link Fill.head} for one who waits for it. @throws UpstreamError also when that takes too long */
  size(signal: AbortSignal): Promise<number>
  /** Whether upstream says that it has the blob. @throws UpstreamError when it takes too long to say */
  confirmed(signal: AbortSignal): Promise<boolean>
  /** Resolves when the repository holds the blob, or will when it is here. */
  join(repository: RepositoryName): Promise<void>
  /** Resolves when upstream has said that it has the blob. */
  open(signal: AbortSignal): Promise<OpenBlob>
}

/** What fills need of the node they run in. */
export interface FillSurroundings {
  /** Of the growing files. */
  directory: string
  blobs: BlobStore
  metadata: Pick<Metadata, 'recordBlob' | 'stored'>
  room: Room
  /** Of digests that something is about to point to. */
  holds: Holds<Digest>
  leftovers: Leftovers
  sync: boolean
  metrics: Metrics
  /** A fill that failed, or a link that could not be written: nobody waits for it, so somebody must hear of it. */
  onError(error: unknown, digest: Digest): void
}

/** How long a client waits for a place among the fills, and for a head in all; its own deadline is longer. */
const placeMs = 10_000
const headMs = 20_000

/** What all fills have in common. */
export interface Shared {
  options: FillSurroundings
  admission: Admission
  slots: Slots
  inFlight: InFlight
  signal: AbortSignal
}

export function startFill(
  { options, admission, slots, inFlight, signal }: Shared,
  request: FillRequest,
  id: string,
): RunningFill {
  const { digest, registry, client, statedSize, source, wanted } = request
  const unwanted = new AbortController()
  const end = () => unwanted.abort(new Error('nobody wants it any more'))
  let arrivedBytes = 0
  if (wanted?.aborted) end()
  wanted?.addEventListener('abort', end, { once: true })
  const repositories = new Set([request.repository])
  const part = join(options.directory, id)
  const arrived = options.metrics.upstreamBytes.labels({ registry })
  let committed: number | undefined
  /** @returns whether it could be */
  const record = (names: Iterable<RepositoryName>, size: number) =>
    options.metadata.recordBlob({ digest, size, repositories: [...names], origin: 'filled' }).then(
      () => true,
      (error: unknown) => {
        options.onError(error, digest)
        return false
      },
    )
  /** Nobody would ever count or give up a file that the database does not know. */
  async function removeUnlessKnown(): Promise<void> {
    try {
      if ((await options.metadata.stored.held([digest])).length === 0) await options.blobs.remove(digest)
    } catch (error) {
      options.onError(error, digest)
    }
  }
  const fill: Fill = createFill(
    {
      digest,
      file: `${part}.part`,
      marks: `${part}.marks`,
      statedSize,
      source,
      slots,
      inFlight,
      spoilt: async () => (request.mends ? options.blobs.spoilt(digest) : undefined),
      room: options.room,
      loans: inFlight.loans,
      sync: options.sync,
      admit: (hasReaders, ended) => admission.enter({ registry, client, hasReaders }, ended),
      onReaders: admission.changed,
      async begin() {
        const hold = await options.holds.hold(digest)
        await options.leftovers.takeUp(id)
        return {
          async [Symbol.asyncDispose]() {
            hold[Symbol.dispose]()
            await options.leftovers.leave(id)
          },
        }
      },
      async commit(file, extents, size) {
        await options.blobs.adopt(digest, file, extents)
        failpoint('after-adoption')
        // Before the last bytes are released: what a client has got must be here after a kill.
        committed = size
        if (!(await record(repositories, size))) await removeUnlessKnown()
      },
      onBytes(count) {
        arrivedBytes += count
        arrived.inc(count)
      },
    },
    wanted ? AbortSignal.any([signal, unwanted.signal]) : signal,
  )
  const keepOn = () => wanted?.removeEventListener('abort', end)
  fill.done.then(keepOn, keepOn)
  /** Who waits for it is a reader: its fill does not leave its place to others. */
  async function size(caller: AbortSignal): Promise<number> {
    const reader = fill.reader()
    try {
      return await headWithin(fill, caller)
    } finally {
      reader?.release()
    }
  }
  return {
    digest,
    registry,
    repositories,
    done: fill.done,
    get arrivedBytes() {
      return arrivedBytes
    },
    get isEnding() {
      return unwanted.signal.aborted
    },
    claim() {
      keepOn()
      return !unwanted.signal.aborted
    },
    size,
    async confirmed(caller) {
      const failed = fill.head.then(
        () => false,
        () => true,
      )
      try {
        await size(caller)
        return true
      } catch (error) {
        caller.throwIfAborted()
        if (await Promise.race([failed, false])) return false
        throw error
      }
    },
    async join(repository) {
      if (repositories.has(repository)) return
      repositories.add(repository)
      if (committed === undefined) return
      using _hold = await options.holds.hold(digest)
      // It may have been evicted since.
      if (await options.blobs.find(digest)) await record([repository], committed)
    },
    async open(caller) {
      const growing = fill.reader()
      if (growing) return openGrowing(fill, growing, caller)
      await fill.done
      const found = await options.blobs.find(digest)
      if (!found) throw new Error(`${digest} has gone right after it was filled`)
      return found.open(caller)
    },
  }
}

async function openGrowing(fill: Fill, growing: Growing, caller: AbortSignal): Promise<OpenBlob> {
  try {
    return { kind: 'growing', growing, size: await headWithin(fill, caller) }
  } catch (error) {
    growing.release()
    throw error
  }
}

/** Its head, within the time that clients wait for one. */
async function headWithin(fill: Fill, caller: AbortSignal): Promise<number> {
  using place = startDeadline(placeMs, caller)
  using head = startDeadline(headMs, place.signal)
  const since = performance.now()
  let placedAt: number | undefined
  fill.admitted.then(() => {
    place.lift()
    placedAt = performance.now()
    noteWait('place', since)
  })
  try {
    return await orAbandon(fill.head, head.signal)
  } catch (error) {
    caller.throwIfAborted()
    if (place.expired) throw new UpstreamError('limited', `no place among the fills within ${placeMs} ms`)
    if (head.expired) throw new UpstreamError('down', `no answer for a blob within ${headMs} ms`)
    throw error
  } finally {
    if (placedAt === undefined) noteWait('place', since)
    else noteWait('fill', placedAt)
  }
}
