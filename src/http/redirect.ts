import type { Handler } from 'hono'
import { RegistryError } from '../oci/error.ts'
import { type Face, type HttpContext, type HttpEnv, rawUrlOf } from './context.ts'

export interface RedirectOptions {
  /** Where the https door of that face is; `undefined` while it is not open yet. */
  portOf(face: Face): number | undefined
  /** Whether a certificate of this site is for that host name or address. */
  covers(host: string): boolean
}

/**
 * Leads to the same thing over https, with the same method and body (308), under the name that was asked: if it is one of
 * this site's certificates, so that nobody is led to another place by what stands in `Host`.
 */
export function createRedirect({ portOf, covers }: RedirectOptions): Handler<HttpEnv> {
  return (c) => {
    c.set('kind', 'redirect')
    const host = hostOf(c)
    if (host === undefined || !covers(host.replace(/^\[|\]$/g, ''))) {
      throw new RegistryError('MISDIRECTED', { message: 'this site has no certificate for that name' })
    }
    const port = portOf(c.env.face)
    if (port === undefined) throw new RegistryError('UNAVAILABLE', { message: 'this node is starting' })
    const location = `https://${host}${port === 443 ? '' : `:${port}`}${rawUrlOf(c)}`
    return c.body(null, 308, { location, 'content-length': '0' })
  }
}

/** Without its port; `undefined` where it cannot be one. */
function hostOf(c: HttpContext): string | undefined {
  const [, host] =
    /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(c.env.incoming.headers.host ?? '') ?? []
  return host?.toLowerCase()
}
