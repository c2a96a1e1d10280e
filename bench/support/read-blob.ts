import { connect, type Socket } from 'node:net'

export interface ReadOptions {
  /** All of the blob, its digest known to be right: what comes is compared with it, which costs less than a hash. */
  blob: Buffer
  /** Asks for this range, to the end where no `last` is named; default the blob without a `Range`. */
  range?: { first: number; last?: number }
  /** Leaves after so many bytes of what it asks for. */
  leaveAfter?: number
  /** Leaves then. */
  leaveOn?: AbortSignal
  /** With the number of bytes so far of what was asked for. */
  onProgress?: (bytes: number) => void
}

/** What came, however it ended. */
export interface Read {
  /** 0: none came. */
  status: number
  /** Of what was asked for; an answer with more is passed over as far as that is. */
  bytes: number
  /** All that was wanted came, every byte as it is in the blob. */
  complete: boolean
  /** What came, much or little, is the blob's. */
  right: boolean
  /** Until the first byte that was asked for; infinite when none came. */
  firstByteMs: number
  ms: number
}

const bufferBytes = 256 * 1024

/**
 * A client that costs as little as one can in Node, for measuring servers on the same machine: a bare socket, one
 * buffer, no hash. It takes bodies as they are; a chunked one counts as wrong. Rejects only when `signal` aborts.
 */
export async function readBlob(url: string, options: ReadOptions, signal: AbortSignal): Promise<Read> {
  signal.throwIfAborted()
  const { blob, range, leaveAfter = Number.POSITIVE_INFINITY } = options
  const { first = 0, last = blob.length - 1 } = range ?? {}
  const end = Math.min(last + 1, first + leaveAfter)
  const startedAt = performance.now()
  let firstByteMs = Number.POSITIVE_INFINITY
  const answer = createAnswer(blob)

  const socket = openSocket(url, (chunk) => {
    answer.take(chunk)
    if (answer.position > first) {
      firstByteMs = Math.min(firstByteMs, performance.now() - startedAt)
      options.onProgress?.(answer.position - first)
    }
    if (answer.position >= end || answer.isWrong) socket.destroy()
    return true
  })
  const leave = AbortSignal.any([signal, ...(options.leaveOn ? [options.leaveOn] : [])])
  const stop = () => socket.destroy()
  leave.addEventListener('abort', stop, { once: true })
  socket.write(requestOf(url, range))
  await closed(socket)
  leave.removeEventListener('abort', stop)
  signal.throwIfAborted()
  return {
    status: answer.status,
    bytes: Math.max(0, answer.position - first),
    complete: !answer.isWrong && answer.position >= end,
    right: answer.status !== 0 && !answer.isWrong,
    firstByteMs,
    ms: performance.now() - startedAt,
  }
}

export interface StalledReader extends Disposable {
  /** Resolves with the status, or 0 when the connection ended without one. */
  readonly begun: Promise<number>
}

/** Asks for the blob, takes the first bytes of the answer, and no more until it is disposed of. */
export function stallOn(url: string): StalledReader {
  const { promise, resolve } = Promise.withResolvers<number>()
  const socket = openSocket(url, (chunk) => {
    resolve(Number(/^HTTP\/1\.\d (\d{3})/.exec(chunk.toString('latin1', 0, 16))?.[1] ?? 0))
    return false
  })
  socket.once('close', () => resolve(0))
  socket.write(requestOf(url, undefined))
  return { begun: promise, [Symbol.dispose]: () => socket.destroy() }
}

/** @param onBytes false: no more is read. */
function openSocket(url: string, onBytes: (chunk: Buffer) => boolean): Socket {
  const { hostname, port } = new URL(url)
  const buffer = Buffer.allocUnsafe(bufferBytes)
  const socket = connect({
    host: hostname,
    port: Number(port),
    noDelay: true,
    onread: { buffer, callback: (count) => onBytes(buffer.subarray(0, count)) },
  })
  // The close that follows tells it.
  socket.on('error', () => {})
  return socket
}

/** However it comes about: `once` would reject on an error before it. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once('close', () => resolve()))
}

function requestOf(url: string, range: ReadOptions['range']): string {
  const { host, pathname } = new URL(url)
  const lines = [`GET ${pathname} HTTP/1.1`, `Host: ${host}`, 'Accept: */*', 'Connection: close']
  if (range) lines.push(`Range: bytes=${range.first}-${range.last ?? ''}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

interface Answer {
  readonly status: number
  /** In the blob, of the next byte that comes. */
  readonly position: number
  readonly isWrong: boolean
  take(chunk: Buffer): void
}

function createAnswer(blob: Buffer): Answer {
  let head: string | undefined = ''
  let status = 0
  let position = 0
  let isWrong = false

  /** @returns what of the chunk is body */
  function readHead(chunk: Buffer): Buffer {
    const before = head?.length ?? 0
    head += chunk.toString('latin1')
    const cut = head?.indexOf('\r\n\r\n') ?? -1
    if (!head || cut === -1) return chunk.subarray(chunk.length)
    status = Number(head.split(' ', 2)[1])
    const from = /^content-range: bytes (\d+)-/im.exec(head)?.[1]
    if (status === 206 && from !== undefined) position = Number(from)
    else if (status !== 200) isWrong = true
    head = undefined
    return chunk.subarray(cut + 4 - before)
  }

  return {
    get status() {
      return status
    },
    get position() {
      return position
    },
    get isWrong() {
      return isWrong
    },
    take(chunk) {
      const body = head === undefined ? chunk : readHead(chunk)
      if (isWrong || body.length === 0) return
      const expected = blob.subarray(position, position + body.length)
      if (!body.equals(expected)) isWrong = true
      else position += body.length
    },
  }
}
