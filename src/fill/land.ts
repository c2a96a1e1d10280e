import { type BlobStream, UpstreamError } from '../upstream/registry-client.ts'
import type { InFlight } from './in-flight.ts'
import type { Part } from './part.ts'
import { createWriter } from './writer.ts'

/** What a connection is to bring. */
export interface Landing {
  /** Everything before it has been taken, or is not this connection's to bring. Moves. */
  position: number
  /** May come nearer while it runs. */
  end: number
  /** After `count` bytes came from upstream, wanted or not. */
  onArrived(count: number): void
  /** After more bytes are there for readers. */
  onLanded(): void
}

/**
 * Puts what a connection brings into the gaps of `part`, from `position` until `end` or until upstream ends. What is
 * there already, because readers may have got it, is never written again.
 * @throws UpstreamError `down` when the connection breaks, `lying` when it brings more than the blob's size
 */
export async function land(
  part: Part,
  landing: Landing,
  stream: BlobStream,
  inFlight: InFlight,
  signal: AbortSignal,
): Promise<void> {
  const { body } = stream
  const stop = () => body.destroy()
  signal.addEventListener('abort', stop, { once: true })
  const { onLanded } = landing
  using share = inFlight.enter()
  const writer = createWriter({ part, share, giveBack: stream.giveBack, onLanded })
  let at = stream.offset

  function take(chunk: Buffer): void {
    landing.onArrived(chunk.length)
    const start = at
    at += chunk.length
    if (part.size !== undefined && at > part.size) {
      throw new UpstreamError('lying', `upstream sent more than the blob's ${part.size} bytes`)
    }
    for (const { position, bytes } of piecesOf(chunk, start, landing, part)) {
      writer.push(position, bytes)
      landing.position = position + bytes.length
    }
  }
  try {
    await new Promise<void>((resolve, reject) => {
      const proceed = () => body.resume()
      body.on('data', (chunk: Buffer) => {
        try {
          take(chunk)
        } catch (error) {
          return reject(error)
        }
        // One that comes to its end by itself leaves its connection for the next.
        if (at >= landing.end && at !== stream.end) return resolve()
        const room = writer.room()
        if (room) body.pause()
        room?.then(proceed, reject)
      })
      body.once('end', resolve)
      body.once('error', (cause) => reject(broken(cause)))
      body.once('close', () => reject(broken()))
    })
  } finally {
    signal.removeEventListener('abort', stop)
    body.destroy()
    await writer.flush()
  }
}

export function broken(cause?: unknown): UpstreamError {
  if (cause instanceof UpstreamError) return cause
  return new UpstreamError('down', 'the connection to upstream broke within a blob', { cause })
}

interface Piece {
  position: number
  bytes: Buffer
}

/** What of a chunk is wanted. */
function* piecesOf(chunk: Buffer, start: number, { position, end }: Landing, part: Part): Generator<Piece> {
  const last = Math.min(end, start + chunk.length)
  for (let at = Math.max(start, position); at < last; ) {
    const gap = part.coverage.gapFrom(at, last)
    if (!gap) return
    yield { position: gap.start, bytes: chunk.subarray(gap.start - start, gap.end - start) }
    at = gap.end
  }
}
