import type { IncomingMessage } from 'node:http'
import { createPieces } from '../flow/pieces.ts'
import { RegistryError } from '../oci/error.ts'
import { ClientLeftError } from './context.ts'

/** A body that brings nothing for so long is given up. */
const idleMs = 60_000

/**
 * Hands the pieces of a body to `take` as they come; the next waits for what that returns. Who stops in the middle leaves
 * the connection as it is, so that it can be answered.
 * @throws what `take` throws, the reason of `signal`, RegistryError `BODY_STALLED`, ClientLeftError
 */
export function receive(
  incoming: IncomingMessage,
  take: (piece: Buffer) => Promise<void> | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (incoming.readableEnded) return Promise.resolve()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let isTaking = false
  const idle = setTimeout(() => !isTaking && reject(new RegistryError('BODY_STALLED')), idleMs)
  const leave = (cause?: unknown) => reject(new ClientLeftError('the client left within a body', { cause }))
  const stop = () => reject(signal.reason)

  function proceed(): void {
    isTaking = false
    idle.refresh()
    incoming.resume()
  }
  function onData(piece: Buffer): void {
    try {
      const taken = take(piece)
      if (!taken) return void idle.refresh()
      isTaking = true
      incoming.pause()
      taken.then(proceed, reject)
    } catch (error) {
      reject(error)
    }
  }
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  incoming.on('data', onData).once('end', resolve).once('error', leave).once('close', leave)
  return promise.finally(() => {
    clearTimeout(idle)
    signal.removeEventListener('abort', stop)
    incoming.off('data', onData).off('end', resolve).off('close', leave)
    incoming.pause()
  })
}

/** A whole body of at most `maxBytes`. @throws RegistryError `TOO_LARGE`, and as {@link receive} */
export async function readBody(
  incoming: IncomingMessage,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const refuseLarger = (bytes: number) => {
    if (bytes <= maxBytes) return
    throw new RegistryError('TOO_LARGE', { message: `no more than ${maxBytes} bytes are taken here` })
  }
  refuseLarger(Number(incoming.headers['content-length'] ?? 0))
  const pieces = createPieces()
  await receive(
    incoming,
    (piece) => {
      refuseLarger(pieces.bytes + piece.length)
      pieces.add(piece)
      return undefined
    },
    signal,
  )
  return Buffer.concat(pieces.take())
}
