import { randomBytes } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { noteHead, type RequestScope, withinRequest } from '../flow/request-scope.ts'
import type { Metrics } from '../metrics.ts'
import { type HttpContext, type HttpEnv, rawPathOf } from './context.ts'

/** Where lines of the access log go. */
export interface AccessLogger {
  isLevelEnabled(level: 'info' | 'warn'): boolean
  info(line: object, message: string): void
  warn(line: object, message: string): void
}

export interface ObserveOptions {
  log: AccessLogger
  metrics: Metrics
  /** Of the answers that neither failed nor were slow, one in so many is logged; 0: none. Default all. */
  oneIn?: number
  /** Who has waited longer than this for the first byte is slow. Default never. */
  slowMs?: number
}

const shownCharacters = 300

/** Unlike any other process's, and counted on from there: random bytes for each request cost more than its routing. */
function createRequestIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}-${(count++).toString(36)}`
}

/** What may stand in logs and headers as it is, and is nobody's markup, path or query. */
const saneId = /^[\w.:=+@-]{1,128}$/

/**
 * One line in the access log and one count for each answer, when its last byte has gone or its client has left. A caller's
 * `X-Request-Id` is taken over.
 */
export function observe(options: ObserveOptions): MiddlewareHandler<HttpEnv> {
  const { metrics } = options
  const nextId = createRequestIds()
  return async (c, next) => {
    const startedAt = performance.now()
    const { outgoing, incoming } = c.env
    const sentBefore = incoming.socket.bytesWritten
    const given = incoming.headers['x-request-id']
    const scope: RequestScope = {
      id: typeof given === 'string' && saneId.test(given) ? given : nextId(),
    }
    c.set('requestId', scope.id)
    outgoing.setHeader('x-request-id', scope.id)
    c.set('kind', 'other')
    outgoing.once('close', () => {
      const seconds = (performance.now() - startedAt) / 1000
      const bytes = Math.max(0, incoming.socket.bytesWritten - sentBefore)
      count(c, metrics, seconds, bytes)
      report(options, c, scope, { startedAt, seconds, bytes })
    })
    await withinRequest(scope, async () => {
      await next()
      noteHead()
    })
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

interface Outcome {
  startedAt: number
  seconds: number
  bytes: number
}

function report(
  { log, metrics, oneIn = 1, slowMs = Number.POSITIVE_INFINITY }: ObserveOptions,
  c: HttpContext,
  scope: RequestScope,
  { startedAt, seconds, bytes }: Outcome,
): void {
  // Who left before anything came has waited until then.
  const firstByteMs = scope.headAt === undefined ? seconds * 1000 : scope.headAt - startedAt
  if (firstByteMs > slowMs) {
    metrics.slowRequests.inc({ kind: c.get('kind') })
    const waited = Object.entries(scope.waited ?? {}).map(([what, ms]) => [what, tenths(ms)])
    const slow = { slow: true, firstByteMs: tenths(firstByteMs), waited: Object.fromEntries(waited) }
    if (log.isLevelEnabled('warn')) log.warn({ ...lineOf(c, seconds, bytes), ...slow }, 'request')
    return
  }
  if (!log.isLevelEnabled('info')) return
  const { statusCode, writableFinished } = c.env.outgoing
  const isNoted = oneIn === 1 || statusCode >= 400 || !writableFinished
  if (isNoted) log.info(lineOf(c, seconds, bytes), 'request')
  else if (oneIn > 1 && Math.random() * oneIn < 1)
    log.info({ ...lineOf(c, seconds, bytes), sampled: `1/${oneIn}` }, 'request')
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10
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
    ms: tenths(seconds * 1000),
    cache: c.get('cache'),
    range: incoming.headers.range?.slice(0, shownCharacters),
    client: incoming.socket.remoteAddress,
    agent: incoming.headers['user-agent']?.slice(0, shownCharacters),
    ...(!outgoing.writableFinished && { aborted: true }),
  }
}
