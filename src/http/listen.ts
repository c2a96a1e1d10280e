import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener, type Http2Bindings, type HttpBindings } from '@hono/node-server'
import { RegistryError } from '../oci/error.ts'
import type { HttpApp } from './app.ts'
import type { Certificates } from './certificates.ts'
import type { Face } from './context.ts'
import { errorResponse, registryErrorOf } from './errors.ts'
import { createTraffic, type Traffic } from './traffic.ts'

/** Where to listen, and what is served there. */
export interface Door {
  scheme: 'http' | 'https'
  /** `undefined`: every address of this machine. */
  host?: string
  port: number
  face: Face
  app: HttpApp
}

export interface OpenDoor {
  readonly scheme: 'http' | 'https'
  readonly face: Face
  readonly port: number
  /** With the port that was given when 0 was asked for. */
  readonly url: string
  /**
   * From now on every answer is the last one of its connection, and what comes over another one is
   * {@link HttpEnv.Bindings.late}. Settles when no answer is under way, or when `signal` ends.
   */
  drain(signal: AbortSignal): Promise<void>
  /** Takes no more connections, lets answers under way finish, and cuts them when `signal` ends. */
  close(signal: AbortSignal): Promise<void>
}

/** Slow heads are cut; bodies take the time they take. */
const headersTimeoutMs = 20_000
const keepAliveMs = 75_000
/** Connections that wait to be taken: a site's machines may all come at once. Linux allows as many (somaxconn). */
const mostWaiting = 4096

/**
 * All or none. @param certificates for those with `https`
 * @throws when an address cannot be had, in one line that names it
 */
export async function openDoors(doors: readonly Door[], certificates: Certificates): Promise<OpenDoor[]> {
  const open: OpenDoor[] = []
  try {
    for (const door of doors) open.push(await openDoor(door, certificates))
    return open
  } catch (error) {
    await closeDoors(open, AbortSignal.abort())
    throw error
  }
}

/** The doors stay open until all of them are through: who looks at a node that is stopping is told so. */
export async function closeDoors(doors: readonly OpenDoor[], signal: AbortSignal): Promise<void> {
  await Promise.all(doors.map((door) => door.drain(signal)))
  await Promise.all(doors.map((door) => door.close(signal)))
}

async function openDoor(options: Door, certificates: Certificates): Promise<OpenDoor> {
  const { scheme, host, port, face } = options
  const traffic = createTraffic()
  const server = serverFor(options, traffic, certificates)
  server.on('clientError', answerClientError)
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(new Error(`cannot listen on ${nameOf(options)}: ${reasonOf(cause)}`, { cause }))
    server.once('error', fail)
    server.listen({ port, host, backlog: mostWaiting }, () => {
      server.off('error', fail)
      resolve()
    })
  })
  const { port: given } = server.address() as AddressInfo
  return {
    ...{ scheme, face, port: given },
    url: nameOf({ scheme, host: host ?? 'localhost', port: given }),
    drain: traffic.drain,
    close: (signal) => close(server, signal),
  }
}

function serverFor({ scheme, ...options }: Door, traffic: Traffic, certificates: Certificates): HttpServer {
  const settings = { headersTimeout: headersTimeoutMs, requestTimeout: 0, keepAliveTimeout: keepAliveMs }
  const listener = listenerFor(options, traffic)
  if (scheme === 'http') return createHttpServer(settings, listener)
  const server = createHttpsServer({ ...settings, ...certificates.options() }, listener)
  const forget = certificates.onReload((next) => server.setSecureContext(next))
  return server.once('close', forget)
}

async function close(server: HttpServer, signal: AbortSignal): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A connection that was busy at first is idle once its answer is through.
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const cut = () => server.closeAllConnections()
  if (signal.aborted) cut()
  signal.addEventListener('abort', cut, { once: true })
  await closed
  clearInterval(idle)
  signal.removeEventListener('abort', cut)
}

/** The answer that a connection is at. */
const answers = new WeakMap<Socket, ServerResponse>()

function listenerFor({ app, face }: Pick<Door, 'app' | 'face'>, traffic: Traffic): RequestListener {
  const fetch = (request: Request, env: HttpBindings | Http2Bindings) =>
    app.fetch(request, { ...env, face, late: traffic.isLate(env.incoming.socket) })
  const listener = getRequestListener(fetch, {
    overrideGlobalObjects: false,
    // HTTP/1.0 has no Host; node answers HTTP/1.1 without one itself.
    hostname: 'localhost',
    errorHandler: (error) => errorResponse(unparsed(error), 'GET'),
  })
  const start: RequestListener = (incoming, outgoing) => {
    answers.set(incoming.socket, outgoing)
    traffic.note(incoming.socket, outgoing)
    listener(incoming, outgoing)
  }
  return (incoming, outgoing) => {
    // One of several sent at once waits for its turn before it opens files and borrows buffers.
    if (outgoing.socket) start(incoming, outgoing)
    else outgoing.once('socket', () => start(incoming, outgoing))
  }
}

/** What node-server could not make a Request of: a bad Host, a backslash in the path, a method that fetch forbids. */
function unparsed(error: unknown): RegistryError {
  const name = error instanceof Error ? error.name : ''
  if (name === 'RequestError')
    return new RegistryError('NAME_INVALID', { message: 'the request cannot be understood' })
  return name === 'TypeError' ? new RegistryError('UNSUPPORTED') : registryErrorOf(error)
}

/**
 * A TLS hello on a plain port must get an HTTP answer: dockerd then falls back to HTTP, and gives up on a closed socket.
 * Within an answer there is no room for another: it would end up in a blob's bytes.
 */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  const answer = answers.get(socket)
  const isWithin = answer?.headersSent && !answer.writableFinished
  if (!socket.writable || error.code === 'ECONNRESET' || isWithin) {
    socket.destroy()
    return
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

function nameOf({ scheme, host = '', port }: Pick<Door, 'scheme' | 'host' | 'port'>): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function reasonOf(error: Error): string {
  const code = 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return 'the port is taken'
  if (code === 'EACCES') return 'this user may not use that port'
  if (code === 'EADDRNOTAVAIL') return 'this machine has no such address'
  return error.message
}
