import { collectDefaultMetrics, Registry } from 'prom-client'
import { createNodeMetrics } from './metrics/node.ts'
import { createPushMetrics } from './metrics/pushes.ts'
import { createRequestMetrics } from './metrics/requests.ts'
import { createStoredMetrics } from './metrics/stored.ts'
import { createUpstreamMetrics } from './metrics/upstream.ts'

/** Every number that this program counts, by name. No label is named by a client, nor by what a client asks for. */
export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return {
    /** The text of `/metrics`. */
    text: () => registry.metrics(),
    contentType: registry.contentType,
    ...createRequestMetrics(registry),
    ...createUpstreamMetrics(registry),
    ...createStoredMetrics(registry),
    ...createPushMetrics(registry),
    ...createNodeMetrics(registry),
  }
}
