import { type Handler, Hono } from 'hono'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { RegistryError } from '../oci/error.ts'
import { ClientLeftError, type HttpContext, type HttpEnv, rawPathOf } from './context.ts'
import { errorResponse, registryErrorOf } from './errors.ts'
import { type AccessLogger, type ObserveOptions, observe } from './observe.ts'

export type HttpApp = Hono<HttpEnv>

export interface HttpAppOptions {
  log: AccessLogger & Pick<Logger, 'debug' | 'error'>
  /** See {@link ObserveOptions}. */
  access?: Pick<ObserveOptions, 'oneIn' | 'slowMs'>
  metrics: Metrics
  /** Everything below `/v2`, by the raw path: node-server has rewritten the one that Hono routes by. */
  registry: Handler<HttpEnv>
  /** Further pages, by exact path. */
  pages: Readonly<Record<string, Handler<HttpEnv>>>
  /** Everything else; default: there is nothing else. */
  otherwise?: Handler<HttpEnv>
  /** Paths of the pages that also take a POST. */
  forms?: readonly string[]
}

const stopping = { message: 'this node is stopping', headers: { 'retry-after': '1' } }

/** What all doors of a site have in common: observation, errors, pages. */
export function createHttpApp(options: HttpAppOptions): HttpApp {
  const { log, access, metrics, registry, pages, forms = [], otherwise } = options
  const app = new Hono<HttpEnv>()
  app.use(observe({ log, metrics, ...access }))
  app.all('*', (c, next) => {
    const path = rawPathOf(c)
    if (path === '/v2' || path.startsWith('/v2/')) {
      if (c.env.late) throw new RegistryError('UNAVAILABLE', stopping)
      return registry(c, next)
    }
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    if (!page && otherwise) return otherwise(c, next)
    if (!page) throw new RegistryError('NOT_FOUND')
    const isForm = c.req.method === 'POST' && forms.includes(path)
    if (!isForm && c.req.method !== 'GET' && c.req.method !== 'HEAD') throw new RegistryError('UNSUPPORTED')
    c.set('kind', path.slice(1))
    return page(c, next)
  })
  app.onError((error, c) => {
    const known = registryErrorOf(error)
    report(log, c, known)
    return errorResponse(known, c.req.method)
  })
  return app
}

/** An upstream that has not got a thing is no event; that it cannot be asked is one. */
function report(log: HttpAppOptions['log'], c: HttpContext, error: RegistryError): void {
  if (error.cause === undefined) return
  const line = { id: c.get('requestId'), path: rawPathOf(c).slice(0, 300), err: error.cause }
  if (error.cause instanceof ClientLeftError) log.debug(line, 'the client left')
  else if (error.code === 'UNKNOWN') log.error(line, 'request failed')
  else if (error.status >= 500) log.warn(line, error.message)
  else log.debug(line, error.message)
}
