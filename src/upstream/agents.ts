import type { LookupFunction } from 'node:net'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { Agent, type buildConnector, type Dispatcher, EnvHttpProxyAgent } from 'undici'
import { publicLookup } from './addresses.ts'
import { createConnector, publicOnly, towards } from './connectors.ts'
import { type ProxySettings, type RegistrySettings, UpstreamError } from './registry-client.ts'
import type { Slabs } from './slabs.ts'

/**
 * How far a host is trusted. `own`: the operator's url. `listed`: named beside it, may be private.
 * `foreign`: named by upstream alone, so only public addresses are connected to.
 */
export type Trust = 'own' | 'listed' | 'foreign'

export interface AgentOptions {
  settings: RegistrySettings
  proxy: ProxySettings
  lookup: LookupFunction
  /** What long bodies are read into. */
  slabs: Slabs
}

/** Long enough for the requests of one pull, shorter than what servers commonly keep. */
const keepAliveMs = 10_000

/** Manifests, tokens and lists have connections of their own: they must not wait behind layers. */
const smallConnections = 8

/** The dispatchers of one registry, made when first needed. HTTP/1.1 only: one h2 connection would carry all blobs. */
export interface Agents {
  dispatcherFor(url: URL, trust: Trust, bulk: boolean): Dispatcher
  /** Somebody else will connect, so names must be judged before. */
  viaProxy(url: URL, trust: Trust): boolean
  /** Whatever is running fails. */
  destroy(): Promise<void>
}

/** @throws Error when `ca`, `clientCertificate` or a proxy cannot be read. */
export function createAgents({ settings, proxy, lookup, slabs }: AgentOptions): Agents {
  const { address, connections, timeouts } = settings
  const made = new Map<string, Dispatcher>()
  let destroyed = false
  const proxies = { 'http:': proxyUrl(proxy.httpProxy), 'https:': proxyUrl(proxy.httpsProxy) }
  const withoutClient = secureContextOf(settings.ca)
  const secureContexts = {
    own: settings.clientCertificate
      ? secureContextOf(settings.ca, settings.clientCertificate)
      : withoutClient,
    listed: withoutClient,
    foreign: withoutClient,
  }

  function viaProxy(url: URL, trust: Trust): boolean {
    // An address says where exactly to connect, so nothing stands between.
    if (trust === 'own' && address !== undefined) return false
    return proxies[url.protocol === 'https:' ? 'https:' : 'http:'] !== ''
  }

  function make(trust: Trust, bulk: boolean, proxied: boolean): Dispatcher {
    const tls = {
      allowH2: false,
      timeout: timeouts.headMs,
      ...(secureContexts[trust] && { secureContext: secureContexts[trust] }),
      ...(trust === 'own' && settings.insecure && { rejectUnauthorized: false }),
    }
    const options = {
      allowH2: false,
      connections: bulk ? connections : Math.min(connections, smallConnections),
      connect: connectorFor(trust, tls, bulk ? slabs : undefined),
      keepAliveTimeout: keepAliveMs,
    }
    if (!proxied) return new Agent(options)
    return new EnvHttpProxyAgent({
      ...options,
      connectTimeout: timeouts.headMs,
      requestTls: tls,
      // Empty rather than absent: absent would read the environment behind the caller's back.
      httpProxy: proxies['http:'],
      httpsProxy: proxies['https:'],
      noProxy: proxy.noProxy ?? '',
    })
  }

  function connectorFor(
    trust: Trust,
    tls: buildConnector.BuildOptions,
    into: Slabs | undefined,
  ): buildConnector.connector {
    if (trust === 'foreign') {
      return publicOnly(createConnector({ ...tls, lookup: publicLookup(lookup) }, into))
    }
    const connect = createConnector({ ...tls, lookup }, into)
    return trust === 'own' && address !== undefined ? towards(address, connect) : connect
  }

  return {
    viaProxy,
    dispatcherFor(url, trust, bulk) {
      if (destroyed) throw new UpstreamError('down', `${url.host}: not asked any more, its settings are gone`)
      const proxied = viaProxy(url, trust)
      const key = `${trust} ${bulk} ${proxied}`
      const dispatcher = made.get(key) ?? make(trust, bulk, proxied)
      made.set(key, dispatcher)
      return dispatcher
    },
    async destroy() {
      destroyed = true
      await Promise.all([...made.values()].map((dispatcher) => dispatcher.destroy()))
    },
  }
}

/** `host:port` is http, as curl has it; empty when there is none. Its login must not get into a message. */
function proxyUrl(text: string | undefined): string {
  if (!text) return ''
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (!url) throw new TypeError('the proxy of the environment is no URL')
  return url.href
}

/** Made once: reading all of the system's roots anew for each connection costs milliseconds. */
function secureContextOf(ca?: string, client?: { cert: string; key: string }): SecureContext | undefined {
  if (ca === undefined && client === undefined) return undefined
  return createSecureContext({
    ...(ca !== undefined && { ca: [...getCACertificates('default'), ca] }),
    ...client,
  })
}
