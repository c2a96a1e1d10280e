import type { Clock } from '../flow/clock.ts'
import { requestId } from '../flow/request-scope.ts'
import type { Via } from '../flow/via.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { createRegistryClients, type RegistryClients } from '../resolve/clients.ts'
import { createRegistryClient, type UpstreamCall } from '../upstream/client.ts'
import type { ProxySettings } from '../upstream/registry-client.ts'
import { createSlabs } from '../upstream/slabs.ts'

export interface ClientsOptions {
  proxy: ProxySettings
  version: string
  via: Via
  log: Logger
  metrics: Metrics
  clock: Clock
}

export function openClients({
  proxy,
  version,
  via,
  log: all,
  metrics,
  clock,
}: ClientsOptions): RegistryClients {
  const log = all.part('upstream')
  const observe = observerOf(metrics, log)
  const slabs = createSlabs()
  return createRegistryClients(
    (settings) => createRegistryClient({ settings, version, via: via.header, proxy, slabs, observe, clock }),
    (err) => log.warn({ err }, 'closing a registry client failed'),
  )
}

function observerOf(metrics: Metrics, log: Pick<Logger, 'debug'>): (call: UpstreamCall) => void {
  return ({ registry, kind, method, outcome, ms }) => {
    metrics.upstreamRequests.inc({ registry, kind, outcome })
    metrics.upstreamSeconds.observe({ registry, kind }, ms / 1000)
    // A blob's lies mostly show after its status: the fill counts them all.
    const isFill = kind === 'blob' && method === 'GET'
    if (outcome === 'lying' && !isFill) metrics.upstreamLies.inc({ registry })
    log.debug({ id: requestId(), registry, kind, outcome, ms: Math.round(ms) }, 'upstream')
  }
}
