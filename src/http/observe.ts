import { randomBytes } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { type HttpContext, type HttpEnv, rawPathOf } from './context.ts'

const shownCharacters = 300

/** Unlike any other process's, and counted on from there: random bytes for each request cost more than its routing. */
function createRequestIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}-${(count++).toString(36)}`
}

/** One line in the access log and one count for each answer, when its last byte has gone or its client has left. */
export function observe(log: Logger, metrics: Metrics): MiddlewareHandler<HttpEnv> {
  const nextId = createRequestIds()
  return async (c, next) => {
    const startedAt = performance.now()
    const { outgoing, incoming } = c.env
    const sentBefore = incoming.socket.bytesWritten
    const requestId = nextId()
    c.set('requestId', requestId)
    outgoing.setHeader('x-request-id', requestId)
    c.set('kind', 'other')
    outgoing.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1000
      const bytes = Math.max(0, incoming.socket.bytesWritten - sentBefore)
      count(c, metrics, seconds, bytes)
      log.info(lineOf(c, seconds, bytes), 'request')
    })
    await next()
  }
}

function count(c: HttpContext, metrics: Metrics, seconds: number, bytes: number): void {
  const kind = c.get('kind')
  const method = c.req.method === 'GET' || c.req.method === 'HEAD' ? c.req.method : 'other'
  metrics.requests.inc({ kind, method, status: c.env.outgoing.statusCode })
  metrics.responseBytes.inc({ kind }, bytes)
  metrics.requestSeconds.observe({ kind }, seconds)
  const cache = c.get('cache')
  if (cache) metrics.answers.inc({ kind, cache })
}

/** Of the query only `ns` is shown: others may carry secrets one day. */
function lineOf(c: HttpContext, seconds: number, bytes: number): Record<string, unknown> {
  const { incoming, outgoing } = c.env
  return {
    id: c.get('requestId'),
    method: c.req.method,
    path: rawPathOf(c).slice(0, shownCharacters),
    ns: c.req.query('ns')?.slice(0, shownCharacters),
    status: outgoing.statusCode,
    bytes,
    ms: Math.round(seconds * 1e4) / 10,
    cache: c.get('cache'),
    range: incoming.headers.range?.slice(0, shownCharacters),
    client: incoming.socket.remoteAddress,
    agent: incoming.headers['user-agent']?.slice(0, shownCharacters),
    ...(!outgoing.writableFinished && { aborted: true }),
  }
}
