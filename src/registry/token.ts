import type { Handler } from 'hono'
import { actions, type Caller, decide } from '../auth/access.ts'
import type { Accounts } from '../auth/accounts.ts'
import { type Callers, CredentialError } from '../auth/callers.ts'
import type { Access, Tokens } from '../auth/tokens.ts'
import { callerOf } from '../http/caller.ts'
import { type HttpContext, type HttpEnv, signalOf } from '../http/context.ts'
import { readBody } from '../http/request-body.ts'
import { RegistryError } from '../oci/error.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { locate } from '../projects/locate.ts'
import { onlyMirrors, type Site } from '../projects/project.ts'
import { doorOf } from './door.ts'
import { subjectOf } from './subject.ts'

export interface TokenOptions {
  tokens: Pick<Tokens, 'issue'>
  callers: Callers
  accounts: Pick<Accounts, 'verify'>
  /** The name that clients must ask for: this site's. */
  service: string
  site(): Site
  mirror: string
}

interface Question {
  service: string | undefined
  scopes: readonly string[]
  caller: Caller
}

const maxScopes = 64
const maxFormBytes = 64 * 1024
const scopeGrammar = /^([a-z0-9]+)(?:\([a-z0-9]+\))?:(.+):([a-z*]*(?:,[a-z*]+)*)$/

/**
 * The Docker token protocol: GET with Basic, POST with a form. Whoever shows a wrong password is told so, never given less
 * than was asked for in silence. A scope that is not allowed grants nothing and is no error. There are no refresh tokens:
 * clients keep the password, or ask for it.
 */
export function createTokenPage(options: TokenOptions): Handler<HttpEnv> {
  const { tokens, service, site, mirror } = options
  return async (c) => {
    if (c.env.face === 'mirror') throw new RegistryError('NOT_FOUND')
    c.header('cache-control', 'no-store')
    const question = c.req.method === 'POST' ? await posted(c, options) : await asked(c, options)
    if (question.service !== service) {
      throw new RegistryError('BAD_REQUEST', { message: `the service here is ${service}` })
    }
    const { scopes, caller } = question
    const isAnonymous = caller.principal.kind === 'anonymous'
    if (scopes.length === 0 && isAnonymous) throw new RegistryError('UNAUTHORIZED')
    if (scopes.length > maxScopes)
      throw new RegistryError('BAD_REQUEST', { message: `more than ${maxScopes} scopes` })

    const access = scopes.flatMap((scope) => grant(c, site(), mirror, caller, scope))
    const subject = caller.principal.kind === 'user' ? caller.principal.name : ''
    const { token, expiresInSeconds, issuedAt } = await tokens.issue(subject, access)
    return c.json({
      token,
      access_token: token,
      expires_in: expiresInSeconds,
      issued_at: issuedAt.toISOString(),
      ...(c.req.method === 'POST' && { scope: scopes.join(' ') }),
    })
  }
}

/** RFC 7517: who trusts this site's tokens finds its keys here. */
export function createKeySetPage({ keySet }: Pick<Tokens, 'keySet'>): Handler<HttpEnv> {
  return async (c) => c.json(await keySet())
}

async function asked(c: HttpContext, { callers, site }: TokenOptions): Promise<Question> {
  const header = c.req.header('authorization')
  // A token begets no token, and where there is nothing to log in for, no password is right.
  if (header !== undefined && (onlyMirrors(site()) || !/^basic /i.test(header))) throw wrongPassword()
  try {
    return {
      service: c.req.query('service'),
      scopes: scopesOf(c.req.queries('scope') ?? []),
      caller: await callers.of(header, callerOf(c.env.incoming.socket)),
    }
  } catch (error) {
    throw error instanceof CredentialError ? wrongPassword() : error
  }
}

async function posted(c: HttpContext, { accounts, site }: TokenOptions): Promise<Question> {
  const bytes = await readBody(c.env.incoming, maxFormBytes, signalOf(c))
  const form = new URLSearchParams(bytes.toString())
  if (form.get('grant_type') !== 'password') {
    throw new RegistryError('UNAUTHORIZED', { message: 'only grant_type=password is known here' })
  }
  const [name, password] = [form.get('username') ?? '', form.get('password') ?? '']
  if (
    onlyMirrors(site()) ||
    name === '' ||
    !(await accounts.verify(name, password, callerOf(c.env.incoming.socket)))
  )
    throw wrongPassword()
  return {
    service: form.get('service') ?? undefined,
    scopes: scopesOf(form.getAll('scope')),
    caller: { principal: { kind: 'user', name } },
  }
}

function wrongPassword(): RegistryError {
  return new RegistryError('UNAUTHORIZED', { message: 'incorrect username or password' })
}

function scopesOf(texts: readonly string[]): string[] {
  return texts.flatMap((each) => each.split(' ')).filter((each) => each !== '')
}

/** What of a scope the caller may; who could write elsewhere is told later what is only read. */
function grant(c: HttpContext, site: Site, mirror: string, caller: Caller, scope: string): Access[] {
  const [, type = '', name = '', said = ''] = scopeGrammar.exec(scope) ?? []
  const wanted = said.split(',')
  if (type === 'registry' && name === 'catalog')
    return [{ type, name, actions: caller.principal.kind === 'user' && wanted.includes('*') ? ['*'] : [] }]
  if (type !== 'repository' || !isRepositoryName(name)) return []
  const subject = subjectOf(name, locate(site, mirror, doorOf(c, site), undefined, name))
  const given = actions.filter(
    (action) =>
      (wanted.includes(action) || wanted.includes('*')) && decide(caller, action, subject) !== 'refuse',
  )
  return [{ type, name, actions: given }]
}
