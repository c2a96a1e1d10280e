import { setTimeout as sleep } from 'node:timers/promises'
import type { Slots } from '../flow/slots.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { type BlobStream, UpstreamError } from '../upstream/registry-client.ts'
import { createAttempts, isPassing } from './attempts.ts'
import { heldBackBytes } from './growth.ts'
import { broken } from './land.ts'
import type { Seen } from './part.ts'
import type { BlobSource } from './talk.ts'

/** The rest of a blob that the disk has no room for: each reader gets it from upstream directly, verified, and unkept. */
export interface Overflow {
  reader(): OverflowReader
}

export interface OverflowReader {
  /** Bytes before it are in the file. */
  readonly start: number
  /** As of a growing file; positions only go up. */
  readableFrom(position: number, signal: AbortSignal): Promise<number>
  /** @returns how many bytes were read */
  read(buffer: Buffer, length: number, position: number): number
  end(): void
}

export interface OverflowOptions {
  digest: Digest
  size: number
  seen: Seen
  source: BlobSource
  /** One is held by each reader that is served so. */
  slots: Slots
  onBytes(count: number): void
}

export function createOverflow(options: OverflowOptions): Overflow {
  return { reader: () => createReader(options) }
}

function createReader(options: OverflowOptions): OverflowReader {
  const { digest, size, seen } = options
  const { refused } = seen
  const hash = seen.hash.copy()
  const connection = createConnection(options)
  const start = refused?.start ?? seen.offset
  /** The hash has seen everything before it. */
  let offset = seen.offset
  /** What may be given away, from `start` on. */
  let current: { start: number; bytes: Buffer } = { start, bytes: Buffer.alloc(0) }
  let heldBack: Buffer = Buffer.alloc(0)
  let proven = false

  /** Divides new bytes, which begin at `from`, into what may go and what has to wait for the proof. */
  function take(from: number, bytes: Buffer): void {
    const free = Math.max(0, Math.min(bytes.length, size - heldBackBytes - from))
    if (free > 0) current = { start: from, bytes: bytes.subarray(0, free) }
    heldBack = Buffer.concat([heldBack, bytes.subarray(free)])
  }
  function prove(): void {
    if (hash.digest('hex') !== hexOf(digest)) {
      throw new UpstreamError(
        'lying',
        `upstream sent something else than ${algorithmOf(digest)}:${hexOf(digest)}`,
      )
    }
    current = { start: size - heldBack.length, bytes: heldBack }
    proven = true
  }
  /** What the file holds of the last bytes waits for the proof, too. */
  function readable(): number {
    return proven ? size : Math.min(current.start + current.bytes.length, size - heldBackBytes)
  }
  async function more(signal: AbortSignal): Promise<void> {
    if (offset === size) return prove()
    const bytes = await connection.next(offset, signal)
    hash.update(bytes)
    take(offset, bytes)
    offset += bytes.length
  }

  if (refused) take(refused.start, refused.bytes)
  return {
    start,
    async readableFrom(position, signal) {
      while (readable() <= position) await more(signal)
      return readable()
    },
    read(buffer, length, position) {
      const from = position - current.start
      return current.bytes.copy(buffer, 0, from, from + length)
    },
    end: connection.end,
  }
}

/** Upstream's bytes from an offset on, through as many connections as it takes. */
function createConnection({ source, size, slots, onBytes }: OverflowOptions) {
  const attempts = createAttempts()
  const ended = new AbortController()
  let stream: BlobStream | undefined
  let chunks: AsyncIterator<Buffer> | undefined
  let leave: (() => void) | undefined
  let brought = 0
  let toSkip = 0

  async function open(offset: number, signal: AbortSignal): Promise<AsyncIterator<Buffer>> {
    leave ??= await slots.acquire(signal)
    brought = 0
    stream = await source.open({ offset }, AbortSignal.any([signal, ended.signal]))
    toSkip = offset - stream.offset
    return stream.body[Symbol.asyncIterator]()
  }
  async function read(offset: number, signal: AbortSignal): Promise<Buffer> {
    chunks ??= await open(offset, signal)
    for (;;) {
      const { value, done } = await chunks.next().catch((cause: unknown) => {
        throw broken(cause)
      })
      if (done) throw new UpstreamError('down', `upstream ended after ${offset} of ${size} bytes`)
      onBytes(value.length)
      const bytes = value.subarray(Math.min(toSkip, value.length))
      toSkip -= value.length - bytes.length
      brought += bytes.length
      if (offset + bytes.length > size)
        throw new UpstreamError('lying', `upstream sent more than ${size} bytes`)
      if (bytes.length > 0) return bytes
    }
  }
  return {
    async next(offset: number, signal: AbortSignal): Promise<Buffer> {
      for (;;) {
        try {
          return await read(offset, signal)
        } catch (error) {
          stream?.body.destroy()
          chunks = undefined
          signal.throwIfAborted()
          const pauseMs = isPassing(error) ? attempts.afterFailure(error, brought) : undefined
          if (pauseMs === undefined) throw error
          await sleep(pauseMs, undefined, { signal })
        }
      }
    },
    end(): void {
      ended.abort()
      stream?.body.destroy()
      leave?.()
    },
  }
}
