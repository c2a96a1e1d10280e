import type { Growing } from '../blobs/blob-store.ts'
import { isDiskBroken, isDiskFull } from '../flow/disk-trouble.ts'
import type { Slots } from '../flow/slots.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import type { Permit } from './admission.ts'
import { isLie } from './attempts.ts'
import { createDownload, type Download } from './download.ts'
import { createGrowth, type Growth, heldBackBytes } from './growth.ts'
import type { InFlight } from './in-flight.ts'
import { createOverflow, type Overflow } from './overflow.ts'
import { openPart, type Part, type PartOptions } from './part.ts'
import { createPlace, type Place } from './place.ts'
import type { BlobSource } from './talk.ts'

export interface FillOptions extends PartOptions {
  source: BlobSource
  inFlight: InFlight
  /** Waits for a place among the fills; it may be taken back. */
  admit(hasReaders: () => boolean, signal: AbortSignal): Promise<Permit>
  /** Of the readers that a full disk leaves to upstream, in all fills. */
  slots: Slots
  /** Called before the file is opened: until it is disposed of, file and blob are left alone. */
  begin(): Promise<AsyncDisposable>
  /** Makes the verified, synced file the blob. */
  commit(file: string, extents: string | undefined, size: number): Promise<void>
  onBytes(count: number): void
  /** A reader came or left. */
  onReaders(): void
}

/** One download of one blob, which any number of readers follow. It ends by itself, whoever leaves. */
export interface Fill {
  /** Resolves with the blob's size when upstream has said that it has the blob. */
  readonly head: Promise<number>
  /** Resolves when the blob is kept. Rejects with why it could not be. */
  readonly done: Promise<void>
  /** Resolves when it has got its first place. */
  readonly admitted: Promise<void>
  /** `undefined` once the growing file is closed: then `done` tells how it ended. */
  reader(): Growing | undefined
}

/** Starts at once. `signal` ends it; what has landed stays for the next one. */
export function createFill(options: FillOptions, signal: AbortSignal): Fill {
  const head = Promise.withResolvers<number>()
  const admitted = Promise.withResolvers<void>()
  let download: Download | undefined
  const growth = createGrowth({
    onWant: (position) => download?.want(position),
    onReaders: options.onReaders,
  })
  const work: Work = {
    options,
    growth,
    headIs: head.resolve,
    onAdmitted: admitted.resolve,
    onDownload(started) {
      download = started
    },
  }
  // Readers hear of the end when nothing of it is left, so that who asks again finds no fill that is ending.
  const done = run(work, signal).then(
    ({ size, overflow, unkept }) => {
      if (overflow) growth.overflow(overflow)
      else growth.complete()
      head.resolve(size)
      if (unkept) throw unkept.error
    },
    (error: unknown) => {
      growth.fail(error)
      head.reject(error)
      throw error
    },
  )
  head.promise.catch(() => {})
  done.catch(() => {})
  return { head: head.promise, done, admitted: admitted.promise, reader: growth.reader }
}

interface Work {
  options: FillOptions
  growth: Growth
  headIs(size: number): void
  onAdmitted(): void
  onDownload(download: Download): void
}

/** How a fill ended whose readers get all of it. */
interface Ending {
  size: number
  /** Where they get the rest; absent: from the growing file, all of which is proven. */
  overflow?: Overflow
  /** Why it is not kept. */
  unkept?: { error: unknown }
}

async function run(work: Work, signal: AbortSignal): Promise<Ending> {
  const { options, growth } = work
  using place = createPlace((ended) => options.admit(() => growth.readers > 0, ended))
  await place.take(signal)
  work.onAdmitted()
  await using _begun = await options.begin()
  const part = await openPart(options)
  growth.attach(part)
  let proven = false
  try {
    await bring(work, part, place, signal)
    place.leave()
    await prove(options.digest, part)
    proven = true
    const { size = 0 } = part
    await options.commit(options.file, await part.seal(), size)
    await part.adopted()
    return { size }
  } catch (error) {
    return await giveUp(options, part, proven, error)
  } finally {
    await part.end().finally(growth.detach)
  }
}

/** Downloads, and leaves its place to others for as long as they need it. */
async function bring(work: Work, part: Part, place: Place, signal: AbortSignal): Promise<void> {
  const { options, growth, headIs } = work
  const download = createDownload({
    part,
    source: options.source,
    inFlight: options.inFlight,
    wants: growth.wants,
    isUrgent: () => growth.readers > 0,
    onAccepted() {
      growth.advance()
      // What is held back whole has no head that could be said before its proof.
      if (part.size !== undefined && part.size > heldBackBytes) headIs(part.size)
    },
    onArrived: options.onBytes,
    onLanded: growth.advance,
  })
  work.onDownload(download)
  for (;;) {
    const { yielded } = place
    try {
      return await download.run(AbortSignal.any([signal, yielded]))
    } catch (error) {
      if (!yielded.aborted || signal.aborted) throw error
    }
    place.leave()
    part.rest()
    await place.take(signal)
  }
}

async function prove(digest: Digest, part: Part): Promise<void> {
  const got = await part.digestHex()
  if (got === hexOf(digest)) return
  throw new UpstreamError('lying', `upstream sent ${algorithmOf(digest)}:${got} for ${digest}`)
}

/** @throws `error`, unless it is the disk alone that wants no more of the blob */
async function giveUp(options: FillOptions, part: Part, proven: boolean, error: unknown): Promise<Ending> {
  // Nothing is built upon what an upstream sent that says what cannot be true, and an empty part is no start.
  const isWorthless = part.coverage.bytes === 0 || isLie(error)
  if (isWorthless || isDiskFull(error) || isDiskBroken(error)) await part.discard()
  const { size } = part
  if (!isDiskFull(error) || size === undefined) throw error
  const unkept = { error }
  if (proven) return { size, unkept }
  return { size, unkept, overflow: createOverflow({ ...options, size, seen: await part.seen() }) }
}
