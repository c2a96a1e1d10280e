import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { failure, jsonReply, type Reply } from './replies.ts'
import type { SeenRequest } from './requests.ts'

export interface UpstreamAuth {
  /** Default `bearer`: the token protocol. `basic`: user and password on every request. */
  kind?: 'bearer' | 'basic'
  service: string
  /** Passwords by user name. */
  users: Readonly<Record<string, string>>
  /** Where the challenge sends clients; default this upstream's own `/token`. */
  realm?: string
  /** The token endpoint takes the OAuth2 form POST too; without it a POST is 405. */
  post?: boolean
  /** Seconds; default 300. */
  expiresIn?: number
  /** Who may pull what; `undefined` is nobody in particular. Default: every user everything, nobody else anything. */
  allows?: (user: string | undefined, repository: string) => boolean
}

export interface Gate {
  /** The 401 for a request without the right, else `undefined`. */
  refuse(request: SeenRequest): Reply | undefined
  issue(request: SeenRequest, body: string): Reply
  /** All tokens given so far stop working, as if they had expired. */
  revoke(): void
}

interface Grant {
  user: string | undefined
  repositories: ReadonlySet<string>
  expiresAt: number
}

export function createGate(auth: UpstreamAuth, ownRealm: () => string): Gate {
  const { kind = 'bearer', service, users, expiresIn = 300 } = auth
  const allows = auth.allows ?? ((user) => user !== undefined)
  const grants = new Map<string, Grant>()

  function userOf(name: string | undefined, password: string | undefined): string | undefined {
    return name !== undefined && Object.hasOwn(users, name) && users[name] === password ? name : undefined
  }

  function bearerRefusal({ headers, repository }: SeenRequest): Reply | undefined {
    const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`
    const challenge = `Bearer realm="${auth.realm ?? ownRealm()}",service="${service}"${scope}`
    const token = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1]
    if (token === undefined) return unauthorized(challenge)
    const grant = grants.get(token)
    if (!grant || grant.expiresAt <= Date.now()) return unauthorized(`${challenge},error="invalid_token"`)
    if (repository === undefined || grant.repositories.has(repository)) return undefined
    return unauthorized(`${challenge},error="insufficient_scope"`)
  }

  function basicRefusal({ headers, repository = '' }: SeenRequest): Reply | undefined {
    const { name, password } = basicOf(headers)
    const user = userOf(name, password)
    if (allows(user, repository)) return undefined
    return unauthorized(`Basic realm="${service}"`)
  }

  return {
    refuse: kind === 'bearer' ? bearerRefusal : basicRefusal,
    issue(request, body) {
      const asPost = request.method === 'POST'
      if (asPost && auth.post !== true) return failure(405, 'UNSUPPORTED', 'tokens are given for GET')
      const fields = asPost ? new URLSearchParams(body) : request.query
      const login = asPost
        ? { name: fields.get('username') ?? undefined, password: fields.get('password') ?? undefined }
        : basicOf(request.headers)
      const user = userOf(login.name, login.password)
      if (login.name !== undefined && user === undefined) return unauthorized(`Basic realm="${service}"`)

      const asked = fields.getAll('scope').flatMap((scope) => scope.split(' ').flatMap(repositoryOf))
      const repositories = new Set(asked.filter((repository) => allows(user, repository)))
      const token = randomUUID()
      grants.set(token, { user, repositories, expiresAt: Date.now() + expiresIn * 1000 })
      return jsonReply(200, {
        token,
        access_token: token,
        expires_in: expiresIn,
        issued_at: new Date().toISOString(),
      })
    },
    revoke: () => grants.clear(),
  }
}

function repositoryOf(scope: string): string[] {
  const [, repository] = /^repository:(.+):[^:]*pull[^:]*$/.exec(scope) ?? []
  return repository === undefined ? [] : [repository]
}

function basicOf(headers: IncomingHttpHeaders): { name?: string; password?: string } {
  const [, encoded] = /^Basic (.+)$/i.exec(headers.authorization ?? '') ?? []
  if (encoded === undefined) return {}
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  return { name: text.slice(0, colon), password: text.slice(colon + 1) }
}

function unauthorized(challenge: string): Reply {
  return failure(401, 'UNAUTHORIZED', 'authentication required', { 'WWW-Authenticate': challenge })
}
