import { isIP, type Socket } from 'node:net'
import { buildConnector } from 'undici'
import { addressRefused, isForbiddenAddress } from './addresses.ts'
import type { Slabs } from './slabs.ts'

/** Connects over TCP or TLS. Over TCP, what comes is put into `slabs` where they are given. */
export function createConnector(
  options: buildConnector.BuildOptions,
  slabs: Slabs | undefined,
): buildConnector.connector {
  const connect = buildConnector(options)
  if (!slabs) return connect
  return (target, callback) => {
    if (target.protocol === 'https:') return connect(target, callback)
    const { room, took } = slabs.receiver()
    // Without pieces of 64 KiB that Node else makes, whose memory is the collector's to find again.
    const onread = {
      buffer: room,
      callback(count: number, bytes: Uint8Array) {
        took(count)
        socket.push(bytes.subarray(0, count))
        return false
      },
    }
    // One piece at a time: several that wait would be copied into one.
    const reading = { ...options, highWaterMark: 1, onread }
    // undici's type does not say that it returns the socket it connects.
    const socket = buildConnector(reading)(target, callback) as unknown as Socket
  }
}

/** Connects elsewhere, while certificate and `Host` stay the url's. */
export function towards(address: string, connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    const target = new URL(`${options.protocol}//${address}`)
    const hostname = target.hostname.replace(/^\[|\]$/g, '')
    // The url parser drops a default port, so a port that was not stated is the url's only when `address` has none.
    const port = target.port || (/:\d+$/.test(address) ? '' : options.port)
    connect({ ...options, hostname, port }, callback)
  }
}

/** Literal addresses never reach `lookup`, and what was connected to is looked at once more. */
export function publicOnly(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    const { hostname, host = hostname } = options
    if (isIP(hostname) !== 0 && isForbiddenAddress(hostname)) {
      queueMicrotask(() => callback(addressRefused(host), null))
      return
    }
    connect(options, (...[error, socket]) => {
      if (error) return callback(error, null)
      if (!isForbiddenAddress(socket.remoteAddress ?? '')) return callback(null, socket)
      socket.on('error', () => {}).destroy()
      callback(addressRefused(host), null)
    })
  }
}
