import type { Handler } from 'hono'
import type { Trouble } from '../flow/troubles.ts'
import type { HttpContext, HttpEnv } from '../http/context.ts'
import type { Metrics } from '../metrics.ts'
import { RegistryError } from '../oci/error.ts'

export interface PagesOptions {
  metrics: Metrics
  /** Why this node should get no more requests; `undefined` while it should. */
  notReady(): string | undefined
  /** What works less well than it should. */
  degraded(): Trouble[]
  /** Who may read the metrics at a registry door. */
  metricsReaders(): 'everybody' | 'this machine' | 'nobody'
}

/** What those who run a node look at. */
export function createPages(options: PagesOptions): Record<string, Handler<HttpEnv>> {
  const { metrics, notReady, degraded, metricsReaders } = options
  const mayRead = (c: HttpContext) => {
    if (c.env.face !== 'registry') return c.env.face === 'metrics'
    const readers = metricsReaders()
    return readers === 'everybody' || (readers === 'this machine' && isThisMachine(c))
  }
  return {
    '/livez': (c) => c.json({ status: 'ok' }),
    '/readyz': (c) => {
      const reason = notReady()
      if (reason !== undefined) return c.json({ status: 'not ready', reason }, 503)
      const weak = degraded()
      return c.json(weak.length === 0 ? { status: 'ok' } : { status: 'degraded', degraded: weak })
    },
    '/metrics': async (c) => {
      if (!mayRead(c)) throw new RegistryError('NOT_FOUND')
      return c.body(await metrics.text(), 200, { 'content-type': metrics.contentType })
    },
  }
}

/** A proxy on this machine speaks for others. */
function isThisMachine(c: HttpContext): boolean {
  const { socket, headers } = c.env.incoming
  const isProxied = ['forwarded', 'via', 'x-forwarded-for', 'x-real-ip'].some((name) => name in headers)
  return !isProxied && /^(::1|(::ffff:)?127\..*)$/.test(socket.remoteAddress ?? '')
}
