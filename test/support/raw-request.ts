import { once } from 'node:events'
import { connect } from 'node:net'

/** What came back over one connection. */
export interface RawAnswer {
  /** `undefined` when the connection ended before a status line. */
  status: number | undefined
  /** Names in lower case; the last of several lines. */
  headers: Readonly<Record<string, string>>
  body: string
  /** Everything, as it came. */
  text: string
  /** The server has ended the connection, rather than waited for another request. */
  closed: boolean
}

const patienceMs = 10_000

/**
 * Sends `text` as it stands, so also what no HTTP client would send. Settles when an answer of the stated length is
 * there or the connection has ended. @throws after ten seconds without either.
 */
export async function rawRequest(host: string, port: number, text: string | Uint8Array): Promise<RawAnswer> {
  const socket = connect({ host, port })
  const received: Buffer[] = []
  const answered = Promise.withResolvers<boolean>()
  const isHead = Buffer.from(text).subarray(0, 5).toString() === 'HEAD '
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk)
    if (isWhole(Buffer.concat(received), isHead)) answered.resolve(false)
  })
  socket.once('close', () => answered.resolve(true))
  socket.on('error', () => {})
  const timer = setTimeout(
    () => answered.reject(new Error(`no answer: ${Buffer.concat(received)}`)),
    patienceMs,
  )
  try {
    await Promise.race([once(socket, 'connect'), answered.promise])
    socket.write(text)
    const closed = await answered.promise
    return { ...parsed(Buffer.concat(received)), closed }
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

function isWhole(bytes: Buffer, isHead: boolean): boolean {
  const { status, headers, body } = parsed(bytes)
  if (status === undefined || !bytes.includes('\r\n\r\n')) return false
  if (isHead || status === 204 || status === 304) return true
  return Buffer.byteLength(body, 'latin1') >= Number(headers['content-length'] ?? Number.POSITIVE_INFINITY)
}

function parsed(bytes: Buffer): Omit<RawAnswer, 'closed'> {
  const text = bytes.toString('latin1')
  const end = text.indexOf('\r\n\r\n')
  const [first = '', ...lines] = text.slice(0, end === -1 ? undefined : end).split('\r\n')
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]
  const headers = lines.map((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  return {
    status: status === undefined ? undefined : Number(status),
    headers: Object.fromEntries(headers),
    body: end === -1 ? '' : text.slice(end + 4),
    text,
  }
}
