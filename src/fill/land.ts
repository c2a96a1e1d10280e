import type { FileHandle } from 'node:fs/promises'
import { type BlobStream, UpstreamError } from '../upstream/registry-client.ts'
import type { Frontier } from './extents.ts'

/** The growing file, and what is known of its bytes. */
export interface Landing {
  handle: FileHandle
  frontier: Frontier
  size: number | undefined
  /** After `count` bytes came from upstream, wanted or not. */
  onArrived?(count: number): void
  /** After more bytes are in the file and hashed. */
  onLanded(): Promise<void>
}

/** While this much waits for the disk, upstream's socket is not read. */
const maxWaitingBytes = 1024 * 1024

/**
 * Writes what a connection brings behind the frontier, until it ends. Bytes before the frontier, from an upstream that
 * ignored the range, are passed over.
 * @throws UpstreamError `down` when the connection breaks, `lying` when it brings more than the blob's size
 */
export async function land(landing: Landing, stream: BlobStream, signal: AbortSignal): Promise<void> {
  const { frontier } = landing
  const stop = () => stream.body.destroy()
  signal.addEventListener('abort', stop, { once: true })
  let toSkip = frontier.offset - stream.offset
  let taken = frontier.offset
  const writer = createWriter(landing)
  try {
    for await (const chunk of chunksOf(stream)) {
      landing.onArrived?.(chunk.length)
      const wanted = toSkip >= chunk.length ? undefined : chunk.subarray(toSkip)
      toSkip = Math.max(0, toSkip - chunk.length)
      if (!wanted) continue
      taken += wanted.length
      if (landing.size !== undefined && taken > landing.size) {
        throw new UpstreamError('lying', `upstream sent more than the blob's ${landing.size} bytes`)
      }
      await writer.push(wanted)
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

/** One write at a time; what arrives meanwhile goes out with the next. The hash is taken while the disk works. */
function createWriter({ handle, frontier, onLanded }: Landing) {
  let waiting: Buffer[] = []
  let waitingBytes = 0
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
    waiting = []
    waitingBytes = 0
    const written = writeFully(handle, batch, count, frontier.offset)
    // Nobody reads the frontier before onLanded, so it may run ahead of the disk here.
    for (const chunk of batch) frontier.update(chunk)
    await written
    await onLanded()
  }
  async function settle(): Promise<void> {
    await running
    if (failure) throw failure.error
  }
  return {
    async push(chunk: Buffer): Promise<void> {
      waiting.push(chunk)
      waitingBytes += chunk.length
      running ??= drain()
      if (failure || waitingBytes >= maxWaitingBytes) await settle()
    },
    flush: settle,
  }
}

async function writeFully(
  handle: FileHandle,
  batch: Buffer[],
  count: number,
  position: number,
): Promise<void> {
  const { bytesWritten } = await handle.writev(batch, position)
  if (bytesWritten < count) {
    const rest = Buffer.concat(batch).subarray(bytesWritten)
    await handle.write(rest, 0, rest.length, position + bytesWritten)
  }
}
