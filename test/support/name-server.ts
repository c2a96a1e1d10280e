import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from './temporary.ts'

/** What is known of a name: its addresses, or why there are none. `silent`: nobody ever answers. */
export type NameState = readonly string[] | 'unknown' | 'failing' | 'silent'

/** A name server that says what a test wants, for the processes that are started by {@link through}. */
export interface NameServer extends AsyncDisposable {
  /** To be put before a command: it has this server, and no other, in its `/etc/resolv.conf`. */
  readonly through: readonly string[]
  /** Names in the order of the questions about them. */
  readonly asked: readonly string[]
  set(name: string, state: NameState): void
}

/** RFC 1035 §4.1.1, and the types of RFC 1035 §3.2.2 and RFC 3596 §2.1. */
const codes = { noError: 0, serverFailure: 2, nameError: 3 } as const
const types = { 1: 'A', 28: 'AAAA' } as const

/** Needs the right to make namespaces, and to listen on port 53 of loopback. */
export async function startNameServer(names: Readonly<Record<string, NameState>>): Promise<NameServer> {
  await using owned = new AsyncDisposableStack()
  const known = new Map(Object.entries(names))
  const asked: string[] = []
  const socket = createSocket('udp4')
  // Each server an address of its own: the resolver knows no ports.
  const address = `127.53.${process.pid % 250}.${1 + Math.floor(Math.random() * 250)}`
  socket.bind(53, address)
  await once(socket, 'listening')
  owned.defer(() => new Promise((resolve) => socket.close(() => resolve())))
  socket.on('message', (query, from) => {
    const { name, type, end } = questionOf(query)
    asked.push(name)
    const state = known.get(name) ?? 'unknown'
    if (state !== 'silent') reply(query.subarray(0, end), type, state, from)
  })

  function reply(question: Buffer, type: number, state: Exclude<NameState, 'silent'>, to: RemoteInfo): void {
    const isV6 = types[type as keyof typeof types] === 'AAAA'
    const found = typeof state === 'string' ? [] : state.filter((each) => each.includes(':') === isV6)
    const code =
      state === 'unknown' ? codes.nameError : state === 'failing' ? codes.serverFailure : codes.noError
    const head = Buffer.from(question)
    head.writeUInt16BE(0x8180 | code, 2)
    head.writeUInt16BE(found.length, 6)
    head.writeUInt32BE(0, 8)
    socket.send(Buffer.concat([head, ...found.map((each) => recordOf(type, each))]), to.port, to.address)
  }

  const folder = owned.use(await temporaryDirectory())
  const file = join(folder.path, 'resolv.conf')
  await writeFile(file, `nameserver ${address}\noptions timeout:5 attempts:1\n`)
  const script = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
  const held = owned.move()
  return {
    through: ['unshare', '--mount', 'sh', '-c', script, 'sh', file],
    asked,
    set: (name, state) => void known.set(name, state),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** RFC 1035 §4.1.2: labels behind the head of 12 bytes, then type and class. */
function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

/** RFC 1035 §4.1.3 and §4.1.4: about the name at offset 12, to be kept by nobody. */
function recordOf(type: number, address: string): Buffer {
  const data = address.includes(':') ? v6BytesOf(address) : Buffer.from(address.split('.').map(Number))
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function v6BytesOf(address: string): Buffer {
  const [before = '', after = ''] = address.split('::')
  const groups = (text: string) => text.split(':').filter((each) => each !== '')
  const [head, tail] = [groups(before), groups(after)]
  const all = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return Buffer.from(all.map((each) => each.padStart(4, '0')).join(''), 'hex')
}
