import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { outport, type Said } from '../../support/command.ts'
import { type Edge, type EdgeOptions, startEdge } from '../../support/edge.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary.ts'

/** The data of a node that makes its own certificates. */
export interface OwnTls extends TemporaryDirectory {
  readonly data: string
  run(...args: string[]): Promise<Said>
  /** PEM, as it stands there now. */
  ca(): Promise<string>
  start(env?: Record<string, string>, more?: Partial<EdgeOptions>): Promise<Edge>
}

export const getCert = '/api/v2.0/systeminfo/getcert'

/** Doors of both kinds on free ports. */
export const bothDoors = { OUTPORT_LISTEN: 'http://127.0.0.1:0,https://127.0.0.1:0' }

export async function ownTls(policies: Record<string, string>): Promise<OwnTls> {
  const folder = await temporaryDirectory()
  const data = join(folder.path, 'data')
  return {
    ...folder,
    data,
    run: (...args) => outport(args, { OUTPORT_DATA: data, ...bothDoors }),
    ca: () => readFile(join(data, 'tls/ca.crt'), 'utf8'),
    start: (env = bothDoors, more = {}) => startEdge({ policies, data, env, ...more }),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

/** The address of an edge's door, without a slash at the end. */
export async function doorOf({ logged }: Edge, scheme: 'http' | 'https'): Promise<string> {
  const { url } = await logged(
    (line) => line.msg === 'listening' && String(line.url).startsWith(`${scheme}://`),
  )
  return String(url)
}

/** A connection to a door, by a certificate that is right for the name; `undefined`: for a client that names none. */
export async function secureConnection(door: string, ca: string, servername?: string): Promise<TLSSocket> {
  const { hostname: host, port } = new URL(door)
  const socket = connect({ host, port: Number(port), ca, ...(servername !== undefined && { servername }) })
  await once(socket, 'secureConnect')
  return socket
}

/** Of the certificate that such a connection gets. */
export async function fingerprintAt(door: string, ca: string, servername?: string): Promise<string> {
  const socket = await secureConnection(door, ca, servername)
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}
