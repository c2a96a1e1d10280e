import { type BlobOffset, type BlobStream, UpstreamError } from '../upstream/registry-client.ts'
import type { Span } from './coverage.ts'
import type { Landing } from './land.ts'
import type { Part } from './part.ts'

/** Where a fill gets its bytes. */
export interface BlobSource {
  open(from: BlobOffset, signal: AbortSignal): Promise<BlobStream>
  /** See RegistryClient. */
  latencyMs(): number | undefined
  segments(): number | 'auto'
}

/** What one connection is to bring. */
export interface Request extends Landing {
  start: number
  /** Upstream is asked for less than the whole. */
  isPart: boolean
}

/** What is asked of upstream for one blob, and what its answers have said of it. */
export interface Talk {
  /** As far as is known, upstream answers ranges as they are asked for. */
  readonly ranges: boolean
  refuseRanges(): void
  /**
   * Resolves with upstream's bytes for `request`, whose ends are corrected where upstream sends something else.
   * @param besideOthers it is a connection more, for which none of the others is kept waiting
   * @throws UpstreamError also when what upstream says of the blob does not go with what is known of it
   */
  open(
    request: Request,
    besideOthers: boolean,
    urgent: () => boolean,
    signal: AbortSignal,
  ): Promise<BlobStream>
}

export function createTalk(part: Part, source: BlobSource): Talk {
  let ranges = true
  let conditional = true
  let etag: string | undefined

  function offsetOf({ position, end }: Request, spare: boolean, urgent: () => boolean): BlobOffset {
    if (!ranges) return { offset: 0, urgent }
    const isOpen = end === (part.size ?? Number.POSITIVE_INFINITY)
    return {
      offset: position,
      urgent,
      ...(!isOpen && { end }),
      ...(etag !== undefined && { etag }),
      ...(spare && { spare }),
    }
  }

  /** Another of a registry's hosts may have another name for the same bytes; what they are the digest will say. */
  async function ask(from: BlobOffset, signal: AbortSignal): Promise<BlobStream> {
    const stream = await source.open(from, signal)
    if (!stream.ignoredRange || from.etag === undefined || from.etag === stream.etag) return stream
    stream.body.destroy()
    conditional = false
    etag = undefined
    const { etag: _, ...plain } = from
    return source.open(plain, signal)
  }

  function learn(stream: BlobStream, request: Request, besideOthers: boolean): void {
    refuseContradiction(stream, part, etag)
    if (stream.ignoredRange) {
      ranges = false
      if (besideOthers) throw new UpstreamError('limited', 'upstream sends nothing but the whole')
    }
    if (conditional) etag = stream.etag
    part.size ??= stream.size
    if (stream.ignoredRange) {
      Object.assign(request, restOf(part))
      request.position = request.start
    } else request.end = Math.min(request.end, part.size ?? request.end)
  }

  return {
    get ranges() {
      return ranges
    },
    refuseRanges() {
      ranges = false
    },
    async open(request, besideOthers, urgent, signal) {
      const from = offsetOf(request, besideOthers, urgent)
      request.isPart = from.offset > 0 || from.end !== undefined
      const stream = await ask(from, signal)
      try {
        signal.throwIfAborted()
        learn(stream, request, besideOthers)
      } catch (error) {
        stream.body.destroy()
        throw error
      }
      return stream
    },
  }
}

/** What follows upon the bytes that are there without a gap. */
export function restOf({ size, coverage }: Part): Span {
  return { start: coverage.endFrom(0), end: size ?? Number.POSITIVE_INFINITY }
}

function refuseContradiction(stream: BlobStream, { size, coverage }: Part, etag: string | undefined): void {
  const lie = (message: string) => {
    throw new UpstreamError('lying', `upstream ${message}`)
  }
  if (size !== undefined && stream.size !== undefined && size !== stream.size) {
    lie(`says the blob has ${stream.size} bytes, and it is known to have ${size}`)
  }
  if ((size ?? stream.size ?? coverage.end) < coverage.end) {
    lie(`says that the blob ends before the ${coverage.end} bytes that it has sent`)
  }
  if (stream.offset > 0 && etag !== undefined && stream.etag !== undefined && etag !== stream.etag) {
    lie('sent a part of something else than it began with')
  }
}
