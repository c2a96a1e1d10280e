import type { IncomingMessage } from 'node:http'
import { createPieces } from '../flow/pieces.ts'
import { RegistryError } from '../oci/error.ts'
import { ClientLeftError } from './context.ts'

/** A body that brings less than this within a minute is given up, unless it was us who let it wait. */
const leastBytes = 60 * 1024
const windowMs = 60_000

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
  let sinceLook = { bytes: 0, hasWaited: false }
  const look = setInterval(() => {
    if (!sinceLook.hasWaited && sinceLook.bytes < leastBytes) reject(new RegistryError('BODY_STALLED'))
    sinceLook = { bytes: 0, hasWaited: isTaking }
  }, windowMs)
  const leave = (cause?: unknown) => reject(new ClientLeftError('the client left within a body', { cause }))
  const stop = () => reject(signal.reason)

  function proceed(): void {
    isTaking = false
    incoming.resume()
  }
  function onData(piece: Buffer): void {
    try {
      sinceLook.bytes += piece.length
      const taken = take(piece)
      if (!taken) return
      isTaking = true
      sinceLook.hasWaited = true
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
    clearInterval(look)
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
