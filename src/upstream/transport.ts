import type { LookupFunction } from 'node:net'
import { orAbandon } from '../flow/abandon.ts'
import { refusePrivateHost } from './addresses.ts'
import { createAgents, type Trust } from './agents.ts'
import { type Answer, cut } from './answer.ts'
import { errorOfConnection, isClosedConnection } from './failure.ts'
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
}

export function createTransport(options: TransportOptions): Transport {
  const { settings, lookup, userAgent, via } = options
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

  async function once(
    url: URL,
    { bulk = false, ...request }: OutgoingRequest,
    signal: AbortSignal,
  ): Promise<Answer> {
    const sending = agents.dispatcherFor(url, trustOf(url), bulk).request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: request.method,
      headers: { ...common, ...(via && { via: via() }), ...request.headers },
      ...(request.body !== undefined && { body: request.body }),
      headersTimeout: 0,
      bodyTimeout: settings.timeouts.idleMs,
      signal,
    })
    const answering = sending.then(({ statusCode, headers, body }): Answer => {
      // Until its reader has come, a break must not be an unhandled error.
      body.on('error', () => {})
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
