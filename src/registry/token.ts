import type { Handler } from 'hono'
import { decide } from '../auth/access.ts'
import type { Access, Tokens } from '../auth/tokens.ts'
import type { HttpContext, HttpEnv } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { locate } from '../projects/locate.ts'
import { isPublic, type Site } from '../projects/project.ts'
import { doorOf } from './door.ts'

export interface TokenOptions {
  tokens: Tokens
  /** The name that clients must ask for: this site's. */
  service: string
  site(): Site
  mirror: string
}

const maxScopes = 64
const scopeGrammar = /^([a-z0-9]+)(?:\([a-z0-9]+\))?:(.+):([a-z*]*(?:,[a-z*]+)*)$/

/**
 * The Docker token protocol's GET. There are no accounts yet, so it knows anonymous alone: whoever shows a password is
 * told that it is wrong, never given less than was asked for in silence. A scope that is not allowed grants nothing and
 * is no error.
 */
export function createTokenPage({ tokens, service, site, mirror }: TokenOptions): Handler<HttpEnv> {
  return async (c) => {
    if (c.req.query('service') !== service) {
      throw new RegistryError('BAD_REQUEST', { message: `the service here is ${service}` })
    }
    if (c.req.header('authorization') !== undefined) {
      throw new RegistryError('UNAUTHORIZED', { message: 'incorrect username or password' })
    }
    const scopes = (c.req.queries('scope') ?? [])
      .flatMap((each) => each.split(' '))
      .filter((each) => each !== '')
    if (scopes.length === 0) throw new RegistryError('UNAUTHORIZED')
    if (scopes.length > maxScopes)
      throw new RegistryError('BAD_REQUEST', { message: `more than ${maxScopes} scopes` })

    const access = scopes.flatMap((scope) => grant(c, site(), mirror, scope))
    const { token, expiresInSeconds, issuedAt } = await tokens.issue('', access)
    c.header('cache-control', 'no-store')
    return c.json({
      token,
      access_token: token,
      expires_in: expiresInSeconds,
      issued_at: issuedAt.toISOString(),
    })
  }
}

/** RFC 7517: who trusts this site's tokens finds its keys here. */
export function createKeySetPage({ keySet }: Tokens): Handler<HttpEnv> {
  return async (c) => c.json(await keySet())
}

function grant(c: HttpContext, site: Site, mirror: string, scope: string): Access[] {
  const [, type, name = '', actions = ''] = scopeGrammar.exec(scope) ?? []
  if (type !== 'repository' || !isRepositoryName(name)) return []
  const wanted = actions.split(',')
  const pulls = (wanted.includes('pull') || wanted.includes('*')) && mayPull(c, site, mirror, name)
  return [{ type, name, actions: pulls ? ['pull'] : [] }]
}

function mayPull(c: HttpContext, site: Site, mirror: string, name: Parameters<typeof locate>[4]): boolean {
  try {
    const { project, path } = locate(site, mirror, doorOf(c, site), undefined, name)
    return decide({ kind: 'anonymous' }, 'pull', { public: isPublic(project, path) }) === 'allow'
  } catch (error) {
    if (error instanceof RegistryError) return false
    throw error
  }
}
