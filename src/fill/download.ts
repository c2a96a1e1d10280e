import { setTimeout as sleep } from 'node:timers/promises'
import { extentBytes } from '../blobs/extents.ts'
import { orAbandon } from '../flow/abandon.ts'
import { type BlobOffset, type BlobStream, UpstreamError } from '../upstream/registry-client.ts'
import { createAttempts, isLie, isPassing } from './attempts.ts'
import type { Span } from './coverage.ts'
import { type Landing, land } from './land.ts'
import type { Part } from './part.ts'
import { createConnectionRate } from './rate.ts'
import { isSoon, nextSpan, type ScheduleRules } from './schedule.ts'
import { divisionOf } from './segments.ts'

/** Where a fill gets its bytes. */
export interface BlobSource {
  open(from: BlobOffset, signal: AbortSignal): Promise<BlobStream>
  /** See RegistryClient. */
  latencyMs(): number | undefined
  segments(): number | 'auto'
}

export interface DownloadOptions {
  part: Part
  source: BlobSource
  /** Where readers wait, the one who waits longest first. */
  wants(): Iterable<number>
  /** Somebody reads it. */
  isUrgent(): boolean
  /** Upstream has said that it has the blob. */
  onAccepted(): void
  /** After `count` bytes came from upstream, wanted or not. */
  onArrived(count: number): void
  /** After more bytes are there for readers. */
  onLanded(): void
}

/** Brings the gaps of a part, through as many connections as it takes. */
export interface Download {
  /**
   * Settles when all bytes are there. Called again after `signal` ended it, it goes on from there.
   * @throws UpstreamError when upstream does not give them; what the disk says
   */
  run(signal: AbortSignal): Promise<void>
  /** A reader waits at `position`. */
  want(position: number): void
}

/** Each far range that a reader asks for is a connection more, up to these. */
const mostConnections = 8
/** A reader that is reached within this gets no connection of its own: what the other one has in flight would be lost. */
const soonMs = 1000
/** About what is in flight, and lost, when the connection that was to bring those bytes is cut. */
const soonBytesAtLeast = 4 * 1024 * 1024

/** What one connection is bringing. */
interface Claim extends Landing {
  start: number
  /** Upstream is asked for less than the whole. */
  isPart: boolean
}

export function createDownload(options: DownloadOptions): Download {
  const { part, source } = options
  const claims = new Set<Claim>()
  const rate = createConnectionRate()
  const attempts = createAttempts()
  let accepted = false
  /** As far as is known, upstream answers ranges as they are asked for. */
  let ranges = true
  let most = mostConnections
  let speedKnown = false
  let conditional = true
  let etag: string | undefined
  let pauseMs = 0
  let failure: { error: unknown } | undefined
  let awakened = Promise.withResolvers<void>()

  function wake(): void {
    awakened.resolve()
    awakened = Promise.withResolvers()
  }

  function rules(): ScheduleRules {
    const line = { segments: source.segments(), latencyMs: source.latencyMs(), rate: rate.current() }
    const { parallel, segmentBytes } = divisionOf(
      line,
      (part.size ?? Number.POSITIVE_INFINITY) - part.coverage.bytes,
    )
    return {
      parallel: Math.min(parallel, most),
      most,
      segmentBytes,
      unitBytes: extentBytes,
      soonBytes: soonBytes(),
    }
  }

  /** Until the line's speed is known, nothing is worth a connection more. */
  function soonBytes(): number {
    const known = rate.current()
    return known === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(soonBytesAtLeast, (known * soonMs) / 1000)
  }

  function theRest(): Span {
    const end = part.size ?? Number.POSITIVE_INFINITY
    return { start: part.coverage.endFrom(0), end }
  }

  /** Where the size is not known yet, the first part tells it. */
  function theBeginning(): Span {
    const { start } = theRest()
    return { start, end: start + rules().segmentBytes }
  }

  function nextWork(): Span | undefined {
    const { size, coverage } = part
    const isDivisible = accepted && ranges && size !== undefined
    if (claims.size > 0 && !isDivisible) return undefined
    if (!ranges) return theRest()
    if (size === undefined) return theBeginning()
    // Upstream has to say that it has what takes no byte.
    if (!accepted && coverage.endFrom(0) >= size) return theRest()
    return nextSpan({ coverage, size, claims: [...claims], wants: options.wants() }, rules())
  }

  function begin({ start, end }: Span, signal: AbortSignal): Promise<void> {
    for (const claim of claims) if (claim.start < start && start < claim.end) claim.end = start
    const { onLanded } = options
    const onArrived = (count: number) => {
      rate.arrived(count)
      options.onArrived(count)
      if (speedKnown || rate.current() === undefined) return
      speedKnown = true
      wake()
    }
    const claim: Claim = { start, position: start, end, isPart: false, onArrived, onLanded }
    claims.add(claim)
    return bring(claim, signal)
      .then(
        () => {
          if (claim.position === claim.start && !isComplete()) {
            failed(new UpstreamError('down', 'upstream sent nothing of what is missing'), claim)
          } else most = mostConnections
        },
        (error: unknown) => {
          if (!signal.aborted) failed(error, claim)
        },
      )
      .finally(() => {
        claims.delete(claim)
        wake()
      })
  }

  async function bring(claim: Claim, signal: AbortSignal): Promise<void> {
    const from = offsetOf(claim)
    claim.isPart = from.offset > 0 || from.end !== undefined
    const stream = await open(from, signal)
    try {
      signal.throwIfAborted()
      agree(stream, claim)
    } catch (error) {
      stream.body.destroy()
      throw error
    }
    accepted = true
    options.onAccepted()
    wake()
    rate.opened()
    await land(part, claim, stream, signal).finally(rate.closed)
    if (part.size === undefined) {
      if (claim.end === Number.POSITIVE_INFINITY) part.size = claim.position
      else ranges = false
    } else if (part.coverage.endFrom(claim.position) < Math.min(claim.end, part.size)) {
      throw new UpstreamError('down', `upstream ended at ${claim.position} of ${part.size} bytes`)
    }
  }

  /** Another of a registry's hosts may have another name for the same bytes; what they are the digest will say. */
  async function open(from: BlobOffset, signal: AbortSignal): Promise<BlobStream> {
    const stream = await source.open(from, signal)
    if (!stream.ignoredRange || from.etag === undefined || from.etag === stream.etag) return stream
    stream.body.destroy()
    conditional = false
    etag = undefined
    const { etag: _, ...plain } = from
    return source.open(plain, signal)
  }

  function offsetOf({ position, end }: Claim): BlobOffset {
    const { isUrgent: urgent } = options
    if (!ranges) return { offset: 0, urgent }
    const isOpen = end === (part.size ?? Number.POSITIVE_INFINITY)
    return {
      offset: position,
      urgent,
      ...(!isOpen && { end }),
      ...(etag !== undefined && { etag }),
      ...(claims.size > 1 && { spare: true }),
    }
  }

  /** @throws UpstreamError when what upstream says of the blob does not go with what is known of it */
  function agree(stream: BlobStream, claim: Claim): void {
    const { size } = part
    if (size !== undefined && stream.size !== undefined && size !== stream.size) {
      throw new UpstreamError(
        'lying',
        `upstream says the blob has ${stream.size} bytes, and it is known to have ${size}`,
      )
    }
    if ((size ?? stream.size ?? part.coverage.end) < part.coverage.end) {
      throw new UpstreamError(
        'lying',
        `upstream says that the blob ends before ${part.coverage.end} bytes of it`,
      )
    }
    if (stream.offset > 0 && etag !== undefined && stream.etag !== undefined && etag !== stream.etag) {
      throw new UpstreamError('lying', 'upstream sent a part of something else than it began with')
    }
    if (stream.ignoredRange) {
      ranges = false
      if (claims.size > 1) throw new UpstreamError('limited', 'upstream sends nothing but the whole')
    }
    if (conditional) etag = stream.etag
    part.size ??= stream.size
    if (stream.ignoredRange) Object.assign(claim, theRest(), { position: theRest().start })
    else claim.end = Math.min(claim.end, part.size ?? claim.end)
  }

  function failed(error: unknown, claim: Claim): void {
    const others = claims.size - 1
    // What upstream says of a part may be wrong where it would send the whole as it is.
    if (isLie(error) && claim.isPart) ranges = false
    else if (others > 0 && error instanceof UpstreamError) most = others
    else {
      // Before upstream has said yes, the one who asks is told at once; after it, nobody need notice the break.
      const pause =
        accepted && isPassing(error) ? attempts.afterFailure(error, claim.position - claim.start) : undefined
      if (pause === undefined) failure = { error }
      else pauseMs = pause
    }
  }

  function isComplete(): boolean {
    return accepted && part.size !== undefined && part.coverage.bytes === part.size
  }

  return {
    async run(signal) {
      const end = new AbortController()
      const lifetime = AbortSignal.any([signal, end.signal])
      const running = new Set<Promise<void>>()
      try {
        while (!isComplete()) {
          signal.throwIfAborted()
          if (failure) throw failure.error
          if (pauseMs > 0 && claims.size === 0) await sleep(pauseMs, undefined, { signal })
          pauseMs = 0
          const { promise } = awakened
          const span = nextWork()
          if (!span) {
            if (claims.size === 0) throw new Error('a download has gaps, and no way to fill them')
            await orAbandon(promise, signal)
            continue
          }
          const work = begin(span, lifetime)
          running.add(work)
          work.finally(() => running.delete(work))
        }
      } finally {
        end.abort()
        await Promise.all(running)
      }
    },
    want(position) {
      if (part.coverage.endFrom(position) === position && !isSoon(position, claims, soonBytes())) wake()
    },
  }
}
