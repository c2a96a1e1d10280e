import { endianness } from 'node:os'

/** Sends one datagram; false when nobody is there to take it, or has no room at this moment. */
export type SendDatagram = (text: string) => boolean

// bits/socket.h of Linux on all machines but MIPS; elsewhere the system gives no such socket.
const afUnix = 1
const sockDgram = 2
const sockCloexec = 0o2000000
const msgDontWait = 0x40
const msgNoSignal = 0x4000
/** unix(7): of `sun_path`, its closing NUL included. */
const maxPathBytes = 108

/**
 * A unix datagram socket that lives as long as the process. Node has none, so it is made through Node's own foreign
 * function interface, which is there from 26.1 on: a library would have to be compiled on each machine, and this program
 * starts no others.
 * @param address a path, or with `@` at its start an abstract name
 * @throws where this Node or this system cannot
 */
export async function createUnixDatagrams(address: string): Promise<SendDatagram> {
  const { dlopen } = await import('node:ffi')
  const { functions } = dlopen(null, {
    socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    sendto: { arguments: ['int32', 'buffer', 'uint64', 'int32', 'buffer', 'uint32'], return: 'int64' },
  })
  const to = unixAddress(address)
  const socket = functions.socket(afUnix, sockDgram | sockCloexec, 0)
  if (socket < 0) throw new Error('the system gives no unix datagram socket')
  return (text) => {
    const bytes = Buffer.from(text)
    const length = BigInt(bytes.length)
    return functions.sendto(socket, bytes, length, msgDontWait | msgNoSignal, to, to.length) === length
  }
}

/** `struct sockaddr_un` of unix(7): an abstract name begins with NUL, and its length is told by that of the whole. */
function unixAddress(address: string): Buffer {
  const path = Buffer.from(address.replace(/^@/, '\0'))
  if (!/^[/@]./.test(address) || path.length >= maxPathBytes)
    throw new Error(`${JSON.stringify(address)} is no address of a unix socket`)
  const family = Buffer.alloc(2)
  if (endianness() === 'LE') family.writeUInt16LE(afUnix)
  else family.writeUInt16BE(afUnix)
  return Buffer.concat([family, path])
}
