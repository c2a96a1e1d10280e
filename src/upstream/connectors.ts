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
    return readingInto(slabs, (reading) => buildConnector({ ...options, ...reading })(target, callback))
  }
}

/** Without the pieces of 64 KiB that Node else makes, whose memory is the collector's to find again. */
function readingInto(slabs: Slabs, connect: (reading: object) => unknown): void {
  const receiver = slabs.receiver()
  const socket = connect({
    // One piece at a time: several that wait would be copied into one.
    highWaterMark: 1,
    onread: {
      buffer: () => receiver.room(),
      callback(count: number, room: Uint8Array) {
        receiver.took(count)
        socket.push(room.subarray(0, count))
        return false
      },
    },
  }) as Socket
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
