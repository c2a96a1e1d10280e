import { LRUCache } from 'lru-cache'
import { startDeadline } from '../flow/deadline.ts'
import { createSingleFlight } from '../flow/single-flight.ts'
import { type Answer, drop, readWhole } from './answer.ts'
import { errorOfStatus, TokenLimitError } from './failure.ts'
import { isRedirect } from './redirects.ts'
import { type RegistrySettings, UpstreamError } from './registry-client.ts'
import type { Transport } from './transport.ts'

/** What a Bearer challenge asks for; `realm` has been allowed. */
export interface TokenRequest {
  realm: URL
  service: string | undefined
  scopes: readonly string[]
}

/** Tokens of one registry and its one credential, kept until shortly before they end. */
export interface Tokens {
  /** `cached` when no token service was asked for this call. */
  get(request: TokenRequest): Promise<{ token: string; cached: boolean }>
  /** Upstream refused `token`: the next `get` asks for another. */
  discard(request: TokenRequest, token: string): void
}

/** distribution's token.md: absent `expires_in` means 60 s. */
const defaultLifetimeSeconds = 60
const maxLifetimeSeconds = 24 * 3600
/** A token is not used in the last tenth of its life, at most its last 30 s. */
const marginMs = 30_000
const maxTokenBytes = 64 * 1024
const maxTokens = 1000

export function keyOf({ realm, service = '', scopes }: TokenRequest): string {
  return JSON.stringify([realm.href, service, ...[...scopes].sort()])
}

export function createTokens(transport: Transport, settings: RegistrySettings, now: () => number): Tokens {
  const cache = new LRUCache<string, { token: string; usableUntil: number }>({ max: maxTokens })
  const flight = createSingleFlight<string>()

  async function renew(request: TokenRequest): Promise<string> {
    const askedAt = now()
    const { token, lifetimeMs } = await fetchToken(transport, settings, request, now)
    const usableUntil = askedAt + lifetimeMs - Math.min(marginMs, lifetimeMs / 10)
    cache.set(keyOf(request), { token, usableUntil })
    return token
  }

  return {
    async get(request) {
      const key = keyOf(request)
      const known = cache.get(key)
      if (known && now() < known.usableUntil) return { token: known.token, cached: true }
      return { token: await flight(key, () => renew(request)), cached: false }
    },
    discard(request, token) {
      const key = keyOf(request)
      if (cache.get(key)?.token === token) cache.delete(key)
    },
  }
}

interface FreshToken {
  token: string
  lifetimeMs: number
}

async function fetchToken(
  transport: Transport,
  settings: RegistrySettings,
  request: TokenRequest,
  now: () => number,
): Promise<FreshToken> {
  const { headMs, idleMs } = settings.timeouts
  const { host } = request.realm
  using deadline = startDeadline(headMs, new AbortController().signal)
  try {
    let answer = await askByGet(transport, settings, request, deadline.signal)
    if ((answer.status === 404 || answer.status === 405) && settings.credential) {
      drop(answer)
      answer = await askByPost(transport, settings.credential, request, deadline.signal)
    }
    deadline.lift()
    if (answer.status !== 200) {
      drop(answer)
      throw errorOfTokenStatus(answer, now())
    }
    return parseToken(await readWhole(answer, { bytes: maxTokenBytes, ms: idleMs }, deadline.signal), host)
  } catch (error) {
    if (deadline.expired) throw new UpstreamError('down', `${host}: no token within ${headMs} ms`)
    throw error
  }
}

function askByGet(
  transport: Transport,
  settings: RegistrySettings,
  request: TokenRequest,
  signal: AbortSignal,
) {
  const url = new URL(request.realm)
  if (request.service !== undefined) url.searchParams.append('service', request.service)
  for (const scope of request.scopes) url.searchParams.append('scope', scope)
  const { credential } = settings
  if (credential) url.searchParams.append('account', credential.username)
  const headers = { accept: 'application/json', ...(credential && { authorization: basic(credential) }) }
  return transport.send(url, { method: 'GET', headers }, signal)
}

/** distribution's oauth.md: the password grant, for services that have no GET. */
function askByPost(
  transport: Transport,
  credential: { username: string; password: string },
  { realm, service, scopes }: TokenRequest,
  signal: AbortSignal,
) {
  const form = new URLSearchParams({
    grant_type: 'password',
    client_id: 'outport',
    ...(service !== undefined && { service }),
    scope: scopes.join(' '),
    username: credential.username,
    password: credential.password,
  })
  const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
  return transport.send(realm, { method: 'POST', headers, body: form.toString() }, signal)
}

function errorOfTokenStatus({ status, headers, url }: Answer, now: number): UpstreamError {
  if (isRedirect(status))
    return new UpstreamError('lying', `${url.host}: redirect refused, token services may not redirect`)
  const error = errorOfStatus(status, headers, url.host, now)
  if (error.kind === 'limited') return new TokenLimitError('limited', error.message, error)
  if (error.kind === 'down') return error
  return new UpstreamError('refused', `${url.host}: gave no token (${status})`)
}

function parseToken(bytes: Buffer, host: string): FreshToken {
  const body = objectOf(bytes)
  const token = body?.token ?? body?.access_token
  // What is sent in a header: visible ASCII, RFC 6750's b64token and a little more.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new UpstreamError('lying', `${host}: answered without a token`)
  }
  const stated = Number(body?.expires_in)
  const seconds = stated > 0 ? Math.min(stated, maxLifetimeSeconds) : defaultLifetimeSeconds
  return { token, lifetimeMs: seconds * 1000 }
}

function objectOf(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString())
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

export function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
