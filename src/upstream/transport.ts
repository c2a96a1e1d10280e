import type { LookupFunction } from 'node:net'
import { orAbandon } from '../flow/abandon.ts'
import type { Clock } from '../flow/clock.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { requestId } from '../flow/request-scope.ts'
import { refusePrivateHost } from './addresses.ts'
import { createAgents, type Trust } from './agents.ts'
import { type Answer, cut } from './answer.ts'
import { errorOfConnection, isClosedConnection, oneOf } from './failure.ts'
import { isListed } from './realm.ts'
import type { ProxySettings, RegistrySettings } from './registry-client.ts'
import type { Slabs } from './slabs.ts'

export interface OutgoingRequest {
  method: 'GET' | 'HEAD' | 'POST'
  /** A plain object: undici leaves other shapes out of some of its checks (CVE-2026-120415). */
  headers: Readonly<Record<string, string>>
  body?: string
  /** Long bodies: blobs. */
  bulk?: boolean
}

/** One request to one url: no redirects, no login. */
export interface Transport {
  /** @throws UpstreamError `down` without a status, `lying` for a refused address; the signal's reason. */
  send(url: URL, request: OutgoingRequest, signal: AbortSignal): Promise<Answer>
  trustOf(url: URL): Trust
  /** Waits for the answers that somebody still waits for or reads. */
  close(): Promise<void>
}

export interface TransportOptions {
  settings: RegistrySettings
  proxy: ProxySettings
  lookup: LookupFunction
  /** What long bodies are read into. */
  slabs: Slabs
  userAgent: string
  via?: () => string
  clock?: Pick<Clock, 'heard' | 'heardOfFuture'>
}

export function createTransport(options: TransportOptions): Transport {
  const { settings, lookup, userAgent, via, clock } = options
  const agents = createAgents(options)
  const ownOrigins = new Set(settings.urls.map((url) => new URL(url).origin))
  const listed = [...settings.redirectHosts, ...settings.tokenHosts]
  const common = {
    'user-agent': userAgent,
    'accept-encoding': 'identity',
  }

  const running = new Set<Promise<unknown>>()

  function trustOf(url: URL): Trust {
    if (ownOrigins.has(url.origin)) return 'own'
    return isListed(listed, url) ? 'listed' : 'foreign'
  }

  /** Whose request it is made for concerns the registry, and not those whom it sends us to. */
  function idFor(url: URL): { 'x-request-id'?: string } {
    const id = ownOrigins.has(url.origin) ? requestId() : undefined
    return id === undefined ? {} : { 'x-request-id': id }
  }

  async function once(
    url: URL,
    { bulk = false, ...request }: OutgoingRequest,
    signal: AbortSignal,
  ): Promise<Answer> {
    const sending = agents.dispatcherFor(url, trustOf(url), bulk).request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: request.method,
      headers: { ...common, ...(via && { via: via() }), ...idFor(url), ...request.headers },
      ...(request.body !== undefined && { body: request.body }),
      headersTimeout: 0,
      bodyTimeout: settings.timeouts.idleMs,
      signal,
    })
    const answering = sending.then(({ statusCode, headers, body }): Answer => {
      // Until its reader has come, a break must not be an unhandled error.
      body.on('error', () => {})
      const saidAt = dateOf(headers)
      if (saidAt !== undefined) clock?.heard(url.host, saidAt)
      return { url, status: statusCode, headers, body }
    })
    // undici notices a signal only when the request is on a connection.
    answering.then((late) => signal.aborted && cut(late)).catch(() => {})
    const answered = orAbandon(answering, signal)
    track(answered.then(({ body }) => new Promise((resolve) => body.once('close', resolve))))
    return await answered
  }

  function track(work: Promise<unknown>): void {
    const settled = work.catch(() => {}).finally(() => running.delete(settled))
    running.add(settled)
  }

  return {
    trustOf,
    async send(url, request, signal) {
      signal.throwIfAborted()
      const trust = trustOf(url)
      if (trust === 'foreign' && agents.viaProxy(url, trust)) {
        await orAbandon(refusePrivateHost(url.hostname, lookup), signal)
      }
      try {
        return await once(url, request, signal).catch((error) => {
          // A server may close a kept-alive connection just when we use it: RFC 9112 §9.3.1.
          if (request.method === 'POST' || !isClosedConnection(error)) throw error
          return once(url, request, signal)
        })
      } catch (error) {
        signal.throwIfAborted()
        if (errorCodeOf(error) === 'CERT_NOT_YET_VALID') clock?.heardOfFuture(url.host)
        throw errorOfConnection(error, url.host)
      }
    },
    async close() {
      // Not by undici's own close: that waits for connections nobody waits for any more.
      while (running.size > 0) await Promise.all(running)
      await agents.destroy()
    },
  }
}

/** What time it was said to be, milliseconds since 1970. A cache repeats the date of its origin, and tells its age. */
function dateOf({ date, age }: Answer['headers']): number | undefined {
  const at = Date.parse(oneOf(date) ?? '')
  const seconds = Number(oneOf(age) ?? 0)
  return Number.isNaN(at) || !(seconds >= 0) ? undefined : at + seconds * 1000
}
