import { setTimeout as sleep } from 'node:timers/promises'
import { extentBytes } from '../blobs/extents.ts'
import { orAbandon } from '../flow/abandon.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import { createAttempts, isLie, isPassing } from './attempts.ts'
import type { Span } from './coverage.ts'
import type { InFlight } from './in-flight.ts'
import { land } from './land.ts'
import type { Part } from './part.ts'
import { createConnectionRate } from './rate.ts'
import { isSoon, nextSpan, type ScheduleRules } from './schedule.ts'
import { divisionOf } from './segments.ts'
import { type BlobSource, createTalk, type Request, restOf } from './talk.ts'

export interface DownloadOptions {
  part: Part
  source: BlobSource
  inFlight: InFlight
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

export function createDownload(options: DownloadOptions): Download {
  const { part, source } = options
  const claims = new Set<Request>()
  const rate = createConnectionRate()
  const attempts = createAttempts()
  const talk = createTalk(part, source)
  let accepted = false
  let most = mostConnections
  let speedKnown = false
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

  /** Where the size is not known yet, the first part tells it. */
  function theBeginning(): Span | undefined {
    const { start } = restOf(part)
    return part.coverage.gapFrom(start, start + rules().segmentBytes)
  }

  function nextWork(): Span | undefined {
    const { size, coverage } = part
    const isDivisible = accepted && talk.ranges && size !== undefined
    if (claims.size > 0 && !isDivisible) return undefined
    if (!talk.ranges) return restOf(part)
    if (size === undefined) return theBeginning()
    // Upstream has to say that it has what takes no byte.
    if (!accepted && coverage.endFrom(0) >= size) return restOf(part)
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
    const claim: Request = { start, position: start, end, isPart: false, onArrived, onLanded }
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

  async function bring(claim: Request, signal: AbortSignal): Promise<void> {
    const stream = await talk.open(claim, claims.size > 1, options.isUrgent, signal)
    accepted = true
    options.onAccepted()
    wake()
    rate.opened()
    await land(part, claim, stream, options.inFlight, signal).finally(rate.closed)
    if (part.size === undefined) {
      if (claim.end === Number.POSITIVE_INFINITY) part.size = claim.position
      else talk.refuseRanges()
    } else if (part.coverage.endFrom(claim.position) < Math.min(claim.end, part.size)) {
      throw new UpstreamError('down', `upstream ended at ${claim.position} of ${part.size} bytes`)
    }
  }

  function failed(error: unknown, claim: Request): void {
    const others = claims.size - 1
    // What upstream says of a part may be wrong where it would send the whole as it is.
    if (isLie(error) && claim.isPart) talk.refuseRanges()
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
