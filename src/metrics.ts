import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** Every number that this program counts, by name. */
export type Metrics = ReturnType<typeof createMetrics>

export interface ObservedRegistry {
  name: string
  insecure: boolean
  isDown(): boolean
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

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
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
  gauge('outport_upstream_down', '1 while a registry is known not to answer.', (each) => each.isDown())
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
    /** The text of `/metrics`. */
    text: () => registry.metrics(),
    contentType: registry.contentType,
    requests: new Counter({
      name: 'outport_requests_total',
      help: 'Answers by what was asked for and status.',
      labelNames: ['kind', 'method', 'status'] as const,
      registers,
    }),
    responseBytes: new Counter({
      name: 'outport_response_bytes_total',
      help: 'Bytes handed to clients, heads included.',
      labelNames: ['kind'] as const,
      registers,
    }),
    answers: new Counter({
      name: 'outport_answers_total',
      help: 'Manifests and blobs by where they came from (X-Outport-Cache).',
      labelNames: ['kind', 'cache'] as const,
      registers,
    }),
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
    fills: new Gauge({ name: 'outport_fills', help: 'Blobs on their way from a registry.', registers }),
    fillFailures: new Counter({
      name: 'outport_fill_failures_total',
      help: 'Fills that ended without their blob.',
      registers,
    }),
    fillsSkippedDisk: new Counter({
      name: 'outport_fill_skipped_disk_total',
      help: 'Blobs that were passed on to their readers and not kept, because the disk was full.',
      registers,
    }),
    rotten: new Counter({
      name: 'outport_blobs_rotten_total',
      help: 'Stored blobs whose bytes had become others; they are put aside and fetched again.',
      registers,
    }),
    healed: new Counter({
      name: 'outport_blobs_healed_total',
      help: 'Stored blobs that the scrub found missing or rotten, and brought back.',
      registers,
    }),
    evicted: new Counter({
      name: 'outport_evicted_total',
      help: 'Manifests and blobs that were given up for others, or because nobody had used them for long.',
      registers,
    }),
    evictedBytes: new Counter({
      name: 'outport_evicted_bytes_total',
      help: 'Their bytes.',
      registers,
    }),
    prefetched: new Counter({
      name: 'outport_prefetched_total',
      help: 'Manifests and blobs that were to be fetched before anybody asked for them, by how that ended.',
      labelNames: ['registry', 'kind', 'outcome'] as const,
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'outport_request_seconds',
      help: 'Time from a request to the last byte of its answer.',
      labelNames: ['kind'] as const,
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    }),
  }
}
