import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'

/** Which names a listener understands; the host name may still say otherwise (see `serveAs`). */
export type Face = 'registry' | 'mirror' | 'metrics'

export interface HttpEnv {
  Bindings: HttpBindings & {
    face: Face
    /** The node is stopping, and whoever asks has had no answer over this connection before. */
    late: boolean
  }
  Variables: {
    requestId: string
    /** What was asked for, for metrics and the access log: manifest, blob, tags … */
    kind: string
    /** What `X-Outport-Cache` says. */
    cache: string
  }
}

export type HttpContext = Context<HttpEnv>

/** The path as it came, before node-server normalises it, without its query. */
export function rawPathOf(c: HttpContext): string {
  const path = rawUrlOf(c)
  const query = path.search(/[?#]/)
  return query === -1 ? path : path.slice(0, query)
}

/** The same with its query. */
export function rawUrlOf(c: HttpContext): string {
  const url = c.env.incoming.url ?? '/'
  return url.startsWith('/') ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, '')
}

/** Why a request ends whose client is gone: no error of anybody's. */
export class ClientLeftError extends Error {
  override readonly name = 'ClientLeftError'
}

/** Ends when the client is gone, with {@link ClientLeftError}. */
export function signalOf(c: HttpContext): AbortSignal {
  const gone = new AbortController()
  const { outgoing } = c.env
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort(new ClientLeftError('the client left'))
  })
  return gone.signal
}
