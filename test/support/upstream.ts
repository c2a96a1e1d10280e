import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Digest, DigestAlgorithm } from '../../src/oci/digest.ts'
import { createAuthority, type KeyAndCertificate } from './certificates.ts'
import { contentOf, type Image, type ImageIndex } from './images.ts'
import type { Line } from './line.ts'
import { type Answering, alteredReply } from './upstream/alter.ts'
import { createGate, type UpstreamAuth } from './upstream/auth.ts'
import { runUpstream } from './upstream/cli.ts'
import { deliver, deliverFaulty } from './upstream/deliver.ts'
import { createFaults, type Fault, type FaultOptions } from './upstream/faults.ts'
import { createRateLimit, type RateLimit } from './upstream/rate-limit.ts'
import { jsonReply, type Reply, type ReplyRules, replyTo } from './upstream/replies.ts'
import { createRepositories } from './upstream/repositories.ts'
import { createRequestLog, matches, type RequestFilter, type SeenRequest } from './upstream/requests.ts'
import { statsOf } from './upstream/stats.ts'

export type { UpstreamAuth } from './upstream/auth.ts'
export type { Fault, FaultEffects, FaultOptions } from './upstream/faults.ts'
export type { RateLimit } from './upstream/rate-limit.ts'
export type { RequestFilter, SeenRequest } from './upstream/requests.ts'

export interface UpstreamOptions {
  /** `true`: a certificate for `host` and localhost from an authority of its own, see {@link Upstream.ca}. */
  tls?: boolean | KeyAndCertificate
  auth?: UpstreamAuth
  /** Default 0: any free port. */
  port?: number
  /** The address to listen on, default 127.0.0.1. */
  host?: string
  /** What all its connections together go over. */
  line?: Line
  /** Default true; false: 404 for the referrers API. */
  referrers?: boolean
  rateLimit?: RateLimit
}

/** A registry to read from, on a real socket, that counts what it gives and breaks as told. */
export interface Upstream extends AsyncDisposable {
  /** Without a trailing slash. */
  readonly url: string
  /** `address:port`. */
  readonly host: string
  /** PEM; with `tls: true`. */
  readonly ca?: string
  readonly requests: readonly SeenRequest[]
  addImage(repository: string, tag: string | undefined, image: Image | ImageIndex): void
  addBlob(repository: string, bytes: Uint8Array, algorithm?: DigestAlgorithm): Digest
  addManifest(repository: string, tagOrDigest: string, bytes: Uint8Array, mediaType: string): Digest
  setTag(repository: string, tag: string, digest: Digest): void
  deleteTag(repository: string, tag: string): void
  /** From all repositories where none is named. */
  removeBlob(digest: string, repository?: string): void
  fault(options: FaultOptions): Fault
  revokeTokens(): void
  count(filter: RequestFilter): number
  /** Resolves as soon as `times` (1) requests that match have arrived since the last {@link clear}. */
  seen(filter: RequestFilter, times?: number): Promise<void>
  /** Body bytes handed to sockets for blobs, or for one, since the last {@link clear}. */
  blobBytes(digest?: string): number
  /** GETs of blobs that are being answered, and the most there were at once since the last {@link clear}. */
  readonly bodies: { readonly now: number; readonly most: number }
  /** Forgets requests and counters; content and faults stay. */
  clear(): void
  /** Cuts every connection; new ones are refused until {@link restart}, on the same port. */
  stop(): Promise<void>
  restart(): Promise<void>
}

export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const { host: address = '127.0.0.1', referrers = true } = options
  const repositories = createRepositories()
  const log = createRequestLog()
  const bodies = { now: 0, most: 0 }
  const faults = createFaults()
  const secured = tlsOf(options.tls, address)
  const limited = options.rateLimit && createRateLimit(options.rateLimit)
  const gate = options.auth && createGate(options.auth, () => `${url}/token`)
  const listener = createListener(secured, (incoming, response) => void answer(incoming, response))
  const port = await listener.listen(address, options.port ?? 0)
  const host = `${address}:${port}`
  const url = `${secured ? 'https' : 'http'}://${host}`

  function replyOf(request: SeenRequest, body: string, contentOf: ReplyRules['contentOf']): Reply {
    if (request.kind === 'token' && gate) return gate.issue(request, body)
    const answering = () => gate?.refuse(request) ?? replyTo(request, repositories, { referrers, contentOf })
    return limited ? limited(request, answering) : answering()
  }

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    if (incoming.url === '/_stats') return deliverStats(response)
    const request = log.note(incoming)
    const isBody = request.kind === 'blob' && request.method === 'GET'
    if (isBody) bodies.most = Math.max(bodies.most, ++bodies.now)
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    try {
      const body = incoming.method === 'POST' ? await text(incoming) : ''
      const strike = faults.take(request)
      const common = { request, response, ...(options.line && { line: options.line }) }
      if (strike) {
        const answering: Answering = (asked, contentOf) => replyOf(asked, body, contentOf)
        const reply = alteredReply(request, strike.effects, answering)
        await deliverFaulty({ ...common, reply }, strike, gone.signal)
      } else {
        const reply = replyOf(request, body, (bytes) => bytes)
        await deliver({ ...common, reply }, gone.signal)
      }
    } catch (error) {
      if (!gone.signal.aborted) response.destroy(error instanceof Error ? error : undefined)
    } finally {
      if (isBody) bodies.now--
    }
  }

  function deliverStats(response: ServerResponse): void {
    const { status, headers, body } = jsonReply(200, statsOf(log.all))
    response.writeHead(status, headers).end(body)
  }

  return {
    url,
    host,
    ...(secured?.ca !== undefined && { ca: secured.ca }),
    requests: log.all,
    addImage: repositories.addImage,
    addBlob(repository, bytes, algorithm) {
      const content = contentOf('application/octet-stream', Buffer.from(bytes), algorithm)
      repositories.of(repository).blobs.set(content.digest, content)
      return content.digest
    },
    addManifest: (repository, tagOrDigest, bytes, mediaType) =>
      repositories.addManifest(repository, tagOrDigest, Buffer.from(bytes), mediaType),
    setTag: (repository, tag, digest) => void repositories.of(repository).tags.set(tag, digest),
    deleteTag: (repository, tag) => void repositories.of(repository).tags.delete(tag),
    removeBlob: repositories.removeBlob,
    fault: faults.add,
    revokeTokens: () => gate?.revoke(),
    count: (filter) => log.all.filter((request) => matches(filter, request)).length,
    seen: (filter, times = 1) => log.seen(filter, times),
    blobBytes(digest) {
      const blobs = log.all.filter(
        ({ kind, reference }) => kind === 'blob' && reference === (digest ?? reference),
      )
      return blobs.reduce((total, { bodyBytes }) => total + bodyBytes, 0)
    },
    bodies,
    clear() {
      log.all.length = 0
      bodies.most = bodies.now
    },
    stop: listener.stop,
    restart: async () => void (await listener.listen(address, port)),
    [Symbol.asyncDispose]: listener.stop,
  }
}

interface Listener {
  /** @returns the port. */
  listen(address: string, port: number): Promise<number>
  stop(): Promise<void>
}

function createListener(
  secured: KeyAndCertificate | undefined,
  answer: (incoming: IncomingMessage, response: ServerResponse) => void,
): Listener {
  const limits = { requestTimeout: 0, keepAliveTimeout: 60_000 }
  const server = secured
    ? createHttpsServer({ ...limits, ...secured }, answer)
    : createHttpServer(limits, answer)
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return {
    async listen(address, port) {
      server.listen(port, address)
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    },
    async stop() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function tlsOf(tls: UpstreamOptions['tls'], host: string): (KeyAndCertificate & { ca?: string }) | undefined {
  if (tls === undefined || tls === false) return undefined
  if (tls !== true) return tls
  const authority = createAuthority()
  return { ...authority.issue({ names: ['localhost', '127.0.0.1', host] }), ca: authority.ca }
}

if (import.meta.main) await runUpstream(startUpstream, process.argv.slice(2))
