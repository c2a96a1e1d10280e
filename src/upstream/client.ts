import type { LookupFunction } from 'node:net'
import { createBandwidth } from '../flow/bandwidth.ts'
import { createCalendarRate } from '../flow/calendar.ts'
import type { Clock } from '../flow/clock.ts'
import { noteWait } from '../flow/request-scope.ts'
import { createSlots } from '../flow/slots.ts'
import { onBreak } from './answer.ts'
import type { AskUpstream } from './ask.ts'
import { type Bodies, headBlob, openBlob } from './blobs.ts'
import { type Ask, type Endpoint, exchange } from './exchange.ts'
import { createFailover } from './failover.ts'
import { createLatency } from './latency.ts'
import { createLimits, type Limits } from './limits.ts'
import { listReferrers, listTags } from './listings.ts'
import { createLogin } from './login.ts'
import { createLookup } from './lookup.ts'
import { getManifest, headManifest } from './manifests.ts'
import {
  type ProxySettings,
  type RegistryClient,
  type RegistrySettings,
  UpstreamError,
  type UpstreamErrorKind,
} from './registry-client.ts'
import { createSlabs, type Slabs } from './slabs.ts'
import { createTokens } from './tokens.ts'
import { createTransport } from './transport.ts'

export interface RegistryClientOptions {
  settings: RegistrySettings
  /** Of this program, for `User-Agent`. */
  version: string
  /** This site's name in `Via`, by which a loop is noticed. */
  via?: () => string
  proxy?: ProxySettings
  /** Default the system's. */
  lookup?: LookupFunction
  /** What blobs are read into, shared by the clients of a node. */
  slabs?: Slabs
  /** Milliseconds since 1970. */
  now?: () => number
  observe?: (event: UpstreamCall) => void
  /** Is told what upstreams say of the time. */
  clock?: Pick<Clock, 'heard' | 'heardOfFuture'>
}

/** One call, with all the requests it took. */
export interface UpstreamCall {
  registry: string
  kind: Ask['kind']
  method: Ask['method']
  outcome: 'ok' | 'left' | UpstreamErrorKind
  /** Until the answer was there; of a blob, its status. */
  ms: number
}

/** @throws TypeError when a url, `ca` or `clientCertificate` cannot be read. */
export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  const { settings, version, via, proxy = {}, now = Date.now, observe } = options
  const lookup = createLookup(options.lookup)
  const userAgent = `outport/${version}`
  const slabs = options.slabs ?? createSlabs()
  const { clock } = options
  const shared = { settings, proxy, lookup, slabs, userAgent, ...(clock && { clock }) }
  const transport = createTransport(via === undefined ? shared : { ...shared, via })
  const tokens = createTokens(transport, settings, now)
  const endpoints = settings.urls.map((url): Endpoint => {
    const base = new URL(url)
    return { base, login: createLogin(base, settings, tokens) }
  })
  // A clock that is set must not keep an upstream down.
  const time = options.now ?? (() => performance.now())
  const failover = createFailover(settings.name, endpoints, time)
  const limits = createLimits(settings, time, now)
  const latency = createLatency()
  const { headMs, idleMs } = settings.timeouts
  let current = settings
  let rate = rateOf(settings, now)
  const bandwidth = createBandwidth(() => rate())
  const bodies: Bodies = {
    slabs,
    slots: createSlots(settings.connections),
    waitMs: headMs,
    bandwidth: () => (current.bandwidth === undefined ? undefined : bandwidth),
  }

  const ask: AskUpstream = async (what, signal, read) => {
    const startedAt = performance.now()
    const report = (outcome: UpstreamCall['outcome']) => {
      const { kind, method } = what
      noteWait('upstream', startedAt)
      observe?.({ registry: settings.name, kind, method, outcome, ms: performance.now() - startedAt })
    }
    try {
      const value = await withinLimits(limits, what, (counted) =>
        failover.run(headMs, signal, async (endpoint, budgetMs) => {
          const answer = await exchange(transport, endpoint, counted, budgetMs, now, signal)
          if (what.bulk) onBreak(answer, signal, () => failover.brokeOff(endpoint))
          return read(answer)
        }),
      )
      latency.add(performance.now() - startedAt)
      report('ok')
      return value
    } catch (error) {
      if (error instanceof UpstreamError) report(error.kind)
      else if (signal.aborted) report('left')
      throw error
    }
  }

  return {
    get settings() {
      return current
    },
    pace(next) {
      current = next
      rate = rateOf(next, now)
    },
    isDown: () => failover.isDown(),
    isUnreachable: () => failover.isUnreachable(),
    isLimited: limits.isLimited,
    isSparing: limits.isSparing,
    countsOnlyGets: limits.countsOnlyGets,
    limits: limits.all,
    isAnswering: () => failover.isAnswering(),
    latencyMs: latency.least,
    headManifest: (repository, reference, signal) => headManifest(ask, repository, reference, signal),
    getManifest: (repository, reference, signal) => getManifest(ask, idleMs, repository, reference, signal),
    headBlob: (repository, digest, signal) => headBlob(ask, settings.type, repository, digest, signal),
    openBlob: (repository, digest, from, signal) => openBlob(ask, bodies, repository, digest, from, signal),
    listTags: (repository, page, signal) => listTags(ask, idleMs, repository, page, signal),
    listReferrers: (repository, digest, signal) => listReferrers(ask, idleMs, repository, digest, signal),
    bandwidth() {
      const bytes = rate()
      return bytes === Number.POSITIVE_INFINITY ? undefined : bytes
    },
    close: () => transport.close(),
  }
}

function rateOf({ bandwidth = Number.POSITIVE_INFINITY }: RegistrySettings, now: () => number): () => number {
  return typeof bandwidth === 'object' ? createCalendarRate(bandwidth, now) : () => bandwidth
}

/** Does what `ask` wants if upstream allows it now, and remembers what it says of its limits. */
async function withinLimits<Value>(
  limits: Limits,
  ask: Ask,
  work: (ask: Ask) => Promise<Value>,
): Promise<Value> {
  const turn = limits.enter(ask)
  try {
    const value = await work({ ...ask, heard: turn.heard })
    turn.end()
    return value
  } catch (error) {
    throw turn.fail(error)
  }
}
