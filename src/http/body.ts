import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Lent, OpenBlob } from '../blobs/blob-store.ts'
import { noteHead } from '../flow/request-scope.ts'
import { type ByteRange, contentRangeOf } from '../oci/range.ts'
import type { BufferPool, BufferSize } from './buffers.ts'
import { callerOf } from './caller.ts'

const defaultStalledMs = 60_000
/** A write that is through within this time is to a client that keeps up. */
const promptMs = 50
/** What the kernel may take for a client that reads nothing. */
const unreadBytes = 8 * 1024 * 1024

export interface BlobResponse {
  /** Content-Type, validators, provenance: what does not depend on the range. */
  headers: Readonly<Record<string, string>>
  /** `undefined`: the whole. */
  ranges: readonly ByteRange[] | undefined
}

export interface BlobSender {
  /**
   * Answers with an open blob on the raw socket, and closes it. Settles when the last byte is handed over or the client
   * is gone. A body that cannot be completed ends in a destroyed socket, never in a short or wrong one.
   */
  send(
    outgoing: ServerResponse,
    blob: OpenBlob,
    response: BlobResponse,
    signal: AbortSignal,
  ): Promise<Response>
}

export interface BlobSenderOptions {
  pool: BufferPool
  /** Hears why a body could not be completed, unless its client left. */
  onBroken(error: unknown): void
  /** Default a minute. */
  stalledMs?: number
}

/** The only place that knows how a blob's bytes leave. */
export function createBlobSender({
  pool,
  onBroken,
  stalledMs = defaultStalledMs,
}: BlobSenderOptions): BlobSender {
  return {
    async send(outgoing, blob, response, signal) {
      const { status, headers, parts } = partsOf(blob, response)
      const [only, ...others] = parts
      if (blob.kind === 'bytes' && typeof only === 'object' && others.length === 0) {
        return sendBytes(
          outgoing,
          status,
          { ...response.headers, ...headers },
          blob.bytes.subarray(only.start, only.end),
        )
      }
      const stall = watchForStall(outgoing, stalledMs)
      try {
        outgoing.writeHead(status, { ...response.headers, ...headers })
        noteHead()
        // Upstream may take its time with the first byte, and clients with a head deadline would leave.
        if (blob.kind === 'growing') outgoing.flushHeaders()
        for (const part of parts) {
          if (typeof part === 'string') await write(outgoing, [Buffer.from(part, 'latin1')], signal)
          else await sendRange(pool, outgoing, blob, part, signal)
        }
        outgoing.end()
      } catch (error) {
        outgoing.destroy()
        if (stall.found || !signal.aborted) onBroken(stall.found ?? error)
      } finally {
        stall.stop()
        await close(blob)
      }
      return RESPONSE_ALREADY_SENT
    },
  }
}

/** A whole answer at once, past the copies and streams of a Response. The socket is cut when it takes none of it. */
export function sendBytes(
  outgoing: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string | number>>,
  bytes: Uint8Array,
): Response {
  outgoing.setTimeout(defaultStalledMs, () => outgoing.destroy())
  outgoing.writeHead(status, headers).end(bytes)
  noteHead()
  return RESPONSE_ALREADY_SENT
}

export async function close(blob: OpenBlob): Promise<void> {
  if (blob.kind === 'file') await blob.handle.close()
  if (blob.kind === 'growing' || blob.kind === 'unproven') blob.growing.release()
}

interface Parts {
  status: 200 | 206
  headers: Record<string, string | number>
  parts: (ByteRange | string)[]
}

function partsOf(blob: OpenBlob, { ranges, headers }: BlobResponse): Parts {
  const { size } = blob
  const [only, ...others] = ranges ?? []
  // Several ranges of a blob on its way: the whole is as right (RFC 9110 §14.2), and comes in order.
  if (!only || (others.length > 0 && blob.kind === 'growing')) {
    return { status: 200, headers: { 'content-length': size }, parts: [{ start: 0, end: size }] }
  }
  if (others.length === 0) {
    const length = only.end - only.start
    return {
      status: 206,
      headers: { 'content-length': length, 'content-range': contentRangeOf(only, size) },
      parts: [only],
    }
  }
  return multipart([only, ...others], size, headers['content-type'] ?? 'application/octet-stream')
}

/** RFC 9110 §14.6. */
function multipart(ranges: readonly ByteRange[], size: number, type: string): Parts {
  const boundary = randomUUID()
  const heads = ranges.map(
    (range, index) =>
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\ncontent-type: ${type}\r\ncontent-range: ${contentRangeOf(range, size)}\r\n\r\n`,
  )
  const tail = `\r\n--${boundary}--\r\n`
  const length = ranges.reduce(
    (sum, { start, end }) => sum + end - start,
    heads.join('').length + tail.length,
  )
  return {
    status: 206,
    headers: { 'content-type': `multipart/byteranges; boundary=${boundary}`, 'content-length': length },
    parts: [...ranges.flatMap((range, index) => [heads[index] ?? '', range]), tail],
  }
}

async function sendRange(
  pool: BufferPool,
  outgoing: ServerResponse,
  blob: OpenBlob,
  { start, end }: ByteRange,
  signal: AbortSignal,
): Promise<void> {
  if (blob.kind === 'bytes') return write(outgoing, [blob.bytes.subarray(start, end)], signal)
  if (start === end) return
  const holder = outgoing.socket ? callerOf(outgoing.socket) : ''
  const quick: BufferSize = blob.kind === 'growing' ? 'medium' : 'large'
  let pace: BufferSize = 'small'
  for (let position = start; position < end; ) {
    const readable =
      blob.kind === 'file' ? end : Math.min(end, await blob.growing.readableFrom(position, signal))
    // Who may be slow gets a copy, so that little waits for it.
    const lent =
      pace !== 'small' && blob.kind === 'growing'
        ? blob.growing.lend?.(position, readable - position)
        : undefined
    const borrowed = lent ?? (await copied(pool, pace, holder, blob, position, readable))
    try {
      const bytes = borrowed.pieces.reduce((sum, { length }) => sum + length, 0)
      if (bytes === 0) throw new Error(`a blob's file ended at ${position} of ${end}`)
      const from = performance.now()
      await write(outgoing, borrowed.pieces, signal)
      position += bytes
      const keepsUp = performance.now() - from < promptMs && position - start > unreadBytes
      pace = keepsUp ? quick : 'small'
    } finally {
      borrowed.giveBack()
    }
  }
}

/** In a buffer of the pool. */
async function copied(
  pool: BufferPool,
  size: BufferSize,
  holder: string,
  blob: Exclude<OpenBlob, { kind: 'bytes' }>,
  position: number,
  end: number,
): Promise<Lent> {
  const { buffer, giveBack } = await pool.lend(size, holder)
  try {
    const bytesRead = await read(blob, buffer, Math.min(buffer.length, end - position), position)
    return { pieces: [buffer.subarray(0, bytesRead)], giveBack }
  } catch (error) {
    giveBack()
    throw error
  }
}

async function read(
  blob: Exclude<OpenBlob, { kind: 'bytes' }>,
  buffer: Buffer,
  length: number,
  position: number,
): Promise<number> {
  if (blob.kind === 'file') return (await blob.handle.read(buffer, 0, length, position)).bytesRead
  return blob.growing.read(buffer, length, position)
}

/** Resolves when the kernel has taken all of `pieces`, so that their memory may be used again. */
function write(outgoing: ServerResponse, pieces: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    // Without a callback when the client leaves: the signal says that.
    const leave = () => reject(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    for (const piece of pieces.slice(0, -1)) outgoing.write(piece)
    outgoing.write(pieces.at(-1) ?? '', (error) => {
      signal.removeEventListener('abort', leave)
      if (error) reject(error)
      else resolve()
    })
  })
}

/** Cuts a client that has bytes waiting and takes none of them; one that waits for bytes is not stalled. */
function watchForStall(
  outgoing: ServerResponse,
  stalledMs: number,
): { readonly found?: Error; stop(): void } {
  const watch: { found?: Error; stop(): void } = {
    stop() {
      outgoing.off('timeout', look)
      outgoing.setTimeout(0)
    },
  }
  // The socket's own timer counts what the kernel takes of a pending write as activity.
  function look(): void {
    if (outgoing.writableLength === 0) {
      outgoing.setTimeout(stalledMs)
      return
    }
    watch.found = new Error(`the client took no byte for ${stalledMs / 1000} s`)
    outgoing.destroy()
  }
  outgoing.setTimeout(stalledMs, look)
  return watch
}
