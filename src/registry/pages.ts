import type { Handler } from 'hono'
import type { HttpEnv } from '../http/context.ts'
import type { Metrics } from '../metrics.ts'
import { RegistryError } from '../oci/error.ts'

export interface PagesOptions {
  metrics: Metrics
  /** Why this node should get no more requests; `undefined` while it should. */
  notReady(): string | undefined
  /** What works less well than it should, in words. */
  degraded(): string[]
  /** Whether anybody who reaches the registry door may read the metrics, or only this machine. */
  openMetrics(): boolean
}

/** What those who run a node look at. */
export function createPages(options: PagesOptions): Record<string, Handler<HttpEnv>> {
  const { metrics, notReady, degraded, openMetrics } = options
  return {
    '/livez': (c) => c.json({ status: 'ok' }),
    '/readyz': (c) => {
      const reason = notReady()
      if (reason !== undefined) return c.json({ status: 'not ready', reason }, 503)
      const weak = degraded()
      return c.json(weak.length === 0 ? { status: 'ok' } : { status: 'degraded', degraded: weak })
    },
    '/metrics': async (c) => {
      const local = isLoopback(c.env.incoming.socket.remoteAddress)
      const open = c.env.face === 'metrics' || (c.env.face === 'registry' && openMetrics())
      if (!local && !open) throw new RegistryError('NOT_FOUND')
      return c.body(await metrics.text(), 200, { 'content-type': metrics.contentType })
    },
  }
}

function isLoopback(address: string | undefined): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address ?? '')
}
