import { type BlobStream, UpstreamError } from '../upstream/registry-client.ts'
import type { Part } from './part.ts'

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

/** While this much waits for the disk, upstream's socket is not read. */
const maxWaitingBytes = 1024 * 1024

/**
 * Puts what a connection brings into the gaps of `part`, from `position` until `end` or until upstream ends. What is
 * there already, because readers may have got it, is never written again.
 * @throws UpstreamError `down` when the connection breaks, `lying` when it brings more than the blob's size
 */
export async function land(
  part: Part,
  landing: Landing,
  stream: BlobStream,
  signal: AbortSignal,
): Promise<void> {
  const stop = () => stream.body.destroy()
  signal.addEventListener('abort', stop, { once: true })
  const writer = createWriter(part, landing.onLanded)
  try {
    let at = stream.offset
    for await (const chunk of chunksOf(stream)) {
      landing.onArrived(chunk.length)
      const start = at
      at += chunk.length
      if (part.size !== undefined && at > part.size) {
        throw new UpstreamError('lying', `upstream sent more than the blob's ${part.size} bytes`)
      }
      for (const piece of piecesOf(chunk, start, landing, part)) {
        landing.position = piece.position
        await writer.push(piece.position, piece.bytes)
        landing.position += piece.bytes.length
      }
      // One that comes to its end by itself leaves its connection for the next.
      if (at >= landing.end && at !== stream.end) break
    }
  } finally {
    signal.removeEventListener('abort', stop)
    stream.body.destroy()
    await writer.flush()
  }
}

async function* chunksOf(stream: BlobStream): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stream.body) yield chunk
  } catch (cause) {
    if (cause instanceof UpstreamError) throw cause
    throw new UpstreamError('down', 'the connection to upstream broke within a blob', { cause })
  }
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

/** One write at a time; what arrives meanwhile goes out with the next. */
function createWriter(part: Part, onLanded: () => void) {
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let position = 0
  let running: Promise<void> | undefined
  let failure: { error: unknown } | undefined

  /** Never rejects: a failure is told to whoever pushes or flushes next. */
  async function drain(): Promise<void> {
    try {
      while (waiting.length > 0) await writeWaiting()
    } catch (error) {
      failure ??= { error }
    }
    running = undefined
  }
  async function writeWaiting(): Promise<void> {
    const batch = waiting
    const count = waitingBytes
    const start = position
    waiting = []
    waitingBytes = 0
    position = start + count
    await part.write(start, batch, count)
    onLanded()
  }
  async function settle(): Promise<void> {
    await running
    if (failure) throw failure.error
  }
  return {
    async push(start: number, bytes: Buffer): Promise<void> {
      if (start !== position + waitingBytes) {
        await settle()
        position = start
      }
      waiting.push(bytes)
      waitingBytes += bytes.length
      running ??= drain()
      if (failure || waitingBytes >= maxWaitingBytes) await settle()
    },
    flush: settle,
  }
}
