import type { Handler } from 'hono'
import type { HttpEnv } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'

/** Harbor's `GET /systeminfo/getcert`: what a client needs before it can trust this site, for everybody. */
export function createGetCertPage(authority: () => string | undefined): Handler<HttpEnv> {
  return (c) => {
    const pem = authority()
    if (pem === undefined) {
      throw new RegistryError('NOT_FOUND', { message: 'this site offers no certificate of an authority' })
    }
    return c.body(pem, 200, {
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment; filename=ca.crt',
    })
  }
}
