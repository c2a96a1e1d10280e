import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export interface ObservedRegistry {
  name: string
  insecure: boolean
  /** It is not asked at the moment. */
  isDown(): boolean
  isUnreachable(): boolean
  limits(): readonly ObservedLimit[]
  /** Bytes a second, while it has a limit. */
  bandwidth(): number | undefined
}

/** What a registry allows of one kind of request. */
export interface ObservedLimit {
  kind: string
  limit?: number
  remaining?: number
  lastsMs?: number
  limitedForMs?: number
}

/** What is asked of registries, and how they are. */
export function createUpstreamMetrics(registry: Registry) {
  const registers = [registry]
  let observed: readonly ObservedRegistry[] = []
  const gauge = (name: string, help: string, holds: (each: ObservedRegistry) => boolean) =>
    new Gauge({
      name,
      help,
      labelNames: ['registry'] as const,
      registers,
      collect() {
        this.reset()
        for (const each of observed) this.set({ registry: each.name }, holds(each) ? 1 : 0)
      },
    })
  const limitGauge = (name: string, help: string, read: (limit: ObservedLimit) => number | undefined) =>
    new Gauge({
      name,
      help,
      labelNames: ['registry', 'kind'] as const,
      registers,
      collect() {
        this.reset()
        for (const each of observed) {
          for (const limit of each.limits()) {
            const value = read(limit)
            if (value !== undefined) this.set({ registry: each.name, kind: limit.kind }, value)
          }
        }
      },
    })
  limitGauge(
    'outport_upstream_budget_limit',
    'Requests that a registry allows within its window.',
    (it) => it.limit,
  )
  limitGauge('outport_upstream_budget_remaining', 'Requests that are left of them.', (it) => it.remaining)
  limitGauge(
    'outport_upstream_budget_forecast_seconds',
    'Until none is left, at the present rate; absent while they last until the window is over.',
    ({ lastsMs }) => (lastsMs === undefined ? undefined : lastsMs / 1000),
  )
  limitGauge(
    'outport_upstream_limited_until_timestamp_seconds',
    'When a registry that has said 429 is asked again; absent while it may be asked.',
    ({ limitedForMs }) => (limitedForMs === undefined ? undefined : (Date.now() + limitedForMs) / 1000),
  )
  new Gauge({
    name: 'outport_upstream_bandwidth_bytes_per_second',
    help: 'That the layers of a registry may take together now; absent without a limit.',
    labelNames: ['registry'] as const,
    registers,
    collect() {
      this.reset()
      for (const each of observed) {
        const rate = each.bandwidth()
        if (rate !== undefined) this.set({ registry: each.name }, rate)
      }
    },
  })
  gauge(
    'outport_upstream_down',
    '1 from when a registry was found not to answer until it answers again.',
    (each) => each.isUnreachable(),
  )
  gauge(
    'outport_upstream_breaker_open',
    '1 while a registry is left alone for some seconds because it did not answer.',
    (each) => each.isDown(),
  )
  gauge(
    'outport_upstream_insecure',
    '1 for a registry whose certificate is not checked, because its document says so.',
    (each) => each.insecure,
  )
  return {
    /** The registries whose state is shown from now on. */
    followRegistries(registries: readonly ObservedRegistry[]): void {
      observed = registries
    },
    upstreamRequests: new Counter({
      name: 'outport_upstream_requests_total',
      help: 'Requests to a registry by what was asked for and how it ended.',
      labelNames: ['registry', 'kind', 'outcome'] as const,
      registers,
    }),
    upstreamBytes: new Counter({
      name: 'outport_upstream_bytes_total',
      help: 'Blob bytes that came from a registry.',
      labelNames: ['registry'] as const,
      registers,
    }),
    upstreamLies: new Counter({
      name: 'outport_upstream_lies_total',
      help: 'Answers of a registry that could not be true: other bytes than the digest, no manifest, a refused realm or redirect.',
      labelNames: ['registry'] as const,
      registers,
    }),
    prefetched: new Counter({
      name: 'outport_prefetched_total',
      help: 'Manifests and blobs that were to be fetched before anybody asked for them, by how that ended.',
      labelNames: ['registry', 'kind', 'outcome'] as const,
      registers,
    }),
    upstreamSeconds: new Histogram({
      name: 'outport_upstream_request_seconds',
      help: 'Time from a request to a registry to its answer, or to the status of a blob.',
      labelNames: ['registry', 'kind'] as const,
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    }),
  }
}
