import type { X509Certificate } from 'node:crypto'
import {
  type Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { maxManifestBytes } from '../../oci/manifest.ts'
import { type FailureKind, failureOf, WireFailure } from './failure.ts'

/** A door as a client knows it. */
export interface Endpoint {
  /** An origin. */
  url: URL
  /** Where to connect, when it is not where the name leads. */
  at?: { host: string; port: number }
  /** Another origin that it goes by. */
  publicUrl?: string
}

export interface Sent {
  method: 'GET' | 'HEAD' | 'POST'
  /** Path and query, sent as it is. */
  path: string
  /** A list is sent as so many lines. */
  headers: Readonly<Record<string, string | string[]>>
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  /** False when the connection ended before the body did. */
  complete: boolean
  /** Behind https. */
  peer?: Peer
}

export interface Peer {
  certificate: X509Certificate
}

export interface ExchangeOptions {
  /** Whom to trust; absent: whoever it is. */
  trust?: SecureContext
  agent?: Agent | false
  limits: Limits
}

/** Milliseconds. */
export interface Limits {
  connectMs: number
  answerMs: number
}

/** Nothing that is asked for here is larger. */
const maxBodyBytes = maxManifestBytes

/**
 * One request as it is said, nothing added but `Host` and `Connection`, nothing followed, decoded or tried again.
 * @throws WireFailure when there is no answer; the signal's reason when it ends this
 */
export async function exchange(
  endpoint: Endpoint,
  sent: Sent,
  options: ExchangeOptions,
  signal: AbortSignal,
): Promise<Answer> {
  const request = start(endpoint, sent, options, signal)
  const clock = watch(request, isIP(hostOf(endpoint)) !== 0, options.limits)
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve).on('error', reject).end()
    })
    const { body, complete } = await bodyOf(response)
    if (clock.failure) throw clock.failure
    const { statusCode: status = 0, headers, socket } = response
    return { status, headers, body, complete, ...peerOf(socket) }
  } catch (error) {
    signal.throwIfAborted()
    throw clock.failure ?? failureOf(error)
  } finally {
    clock.stop()
    if (!options.agent) request.destroy()
  }
}

function hostOf({ url, at }: Endpoint): string {
  return at?.host ?? url.hostname.replace(/^\[|\]$/g, '')
}

function start(
  endpoint: Endpoint,
  sent: Sent,
  { trust, agent = false }: ExchangeOptions,
  signal: AbortSignal,
): ClientRequest {
  const { url, at } = endpoint
  const isSecure = url.protocol === 'https:'
  const common = {
    host: hostOf(endpoint),
    port: at?.port ?? (url.port || (isSecure ? 443 : 80)),
    method: sent.method,
    path: sent.path,
    headers: { host: url.host, ...sent.headers },
    agent,
    signal,
  }
  if (!isSecure) return requestHttp(common)
  return requestHttps({
    ...common,
    servername: serverNameOf(url),
    // The name is checked once for all clients.
    checkServerIdentity: () => undefined,
    ...(trust ? { secureContext: trust } : { rejectUnauthorized: false }),
  })
}

/** RFC 6066 §3: an address is no server name. */
function serverNameOf({ hostname }: URL): string {
  return isIP(hostname.replace(/^\[|\]$/g, '')) ? '' : hostname
}

interface Clock {
  /** Why it has ended the request. */
  readonly failure: WireFailure | undefined
  stop(): void
}

/** Ends a request that makes no progress. @param isKnown no name has to be looked up */
function watch(request: ClientRequest, isKnown: boolean, { connectMs, answerMs }: Limits): Clock {
  let failure: WireFailure | undefined
  let timer: NodeJS.Timeout | undefined
  const within = (ms: number, kind: FailureKind) => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      failure = new WireFailure(kind)
      request.destroy(failure)
    }, ms)
  }
  within(connectMs, isKnown ? 'connect-timeout' : 'unresolved')
  request.once('socket', (socket: Socket) => {
    const connected = () => within(answerMs, 'answer-timeout')
    if (!socket.connecting) return connected()
    socket.once('lookup', () => within(connectMs, 'connect-timeout'))
    socket.once('connect', connected)
  })
  return {
    get failure() {
      return failure
    },
    stop: () => clearTimeout(timer),
  }
}

async function bodyOf(response: IncomingMessage): Promise<Pick<Answer, 'body' | 'complete'>> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response) {
      chunks.push(chunk)
      length += chunk.length
      if (length > maxBodyBytes) break
    }
  } catch {
    return { body: Buffer.concat(chunks), complete: false }
  }
  return { body: Buffer.concat(chunks), complete: response.complete }
}

function peerOf(socket: Socket): { peer?: Peer } {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  return certificate ? { peer: { certificate } } : {}
}
