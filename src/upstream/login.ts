import type { RepositoryName } from '../oci/reference.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { parseRealm } from './realm.ts'
import type { RegistrySettings } from './registry-client.ts'
import { basic, keyOf, type TokenRequest, type Tokens } from './tokens.ts'

/** What was sent as `Authorization`, and how it was come by. */
export type Ticket =
  | { kind: 'basic'; authorization: string }
  | { kind: 'bearer'; authorization: string; token: string; request: TokenRequest; cached: boolean }

/** How one url lets us in. It remembers its last challenge, so that not every request costs a 401. */
export interface Login {
  /** What to send without being asked; `undefined` while nothing is known. */
  ahead(repository: RepositoryName): Promise<Ticket | undefined>
  /**
   * What to send after a 401; `undefined` when nothing better is to be had.
   * @throws UpstreamError `lying` when the only way in is a realm that is not allowed.
   */
  answer(
    challenges: string | string[] | undefined,
    repository: RepositoryName,
    sent?: Ticket,
  ): Promise<Ticket | undefined>
}

type Known =
  | { kind: 'basic' }
  /** `scopes` absent: the repository's own, as distribution's scope.md has it. */
  | { kind: 'bearer'; realm: URL; service: string | undefined; scopes?: readonly string[] }

export function createLogin(origin: URL, settings: RegistrySettings, tokens: Tokens): Login {
  const { credential } = settings
  let known: Known | undefined

  async function ticketFor(way: Known, repository: RepositoryName): Promise<Ticket | undefined> {
    if (way.kind === 'basic') return credential && { kind: 'basic', authorization: basic(credential) }
    const { realm, service, scopes = [scopeOf(repository)] } = way
    const request = { realm, service, scopes }
    const { token, cached } = await tokens.get(request)
    return { kind: 'bearer', authorization: `Bearer ${token}`, token, request, cached }
  }

  return {
    async ahead(repository) {
      const way = known
      if (!way) return undefined
      try {
        return await ticketFor(way, repository)
      } catch (error) {
        // The registry may have moved its realm: the next request asks it again.
        if (known === way) known = undefined
        throw error
      }
    },
    async answer(header, repository, sent) {
      if (sent?.kind === 'bearer') tokens.discard(sent.request, sent.token)
      const chosen = choose(parseChallenges(header), origin, settings, repository)
      // Harbor asks for Basic when a Bearer token it was sent is not good (any more): first a fresh one.
      const stale = sent?.kind === 'bearer' && sent.cached
      const way = stale && chosen?.kind !== 'bearer' ? known : chosen
      if (!way || isRepetition(way, repository, sent)) return undefined
      const ticket = await ticketFor(way, repository)
      if (ticket) known = way
      return ticket
    },
  }
}

/** Bearer before Basic; a refused realm is an error only when there is nothing else. */
function choose(
  challenges: readonly Challenge[],
  registry: URL,
  settings: RegistrySettings,
  repository: RepositoryName,
): Known | undefined {
  let refusal: unknown
  for (const { scheme, parameters } of challenges) {
    if (scheme !== 'bearer') continue
    try {
      const realm = parseRealm(parameters.get('realm') ?? '', registry, settings)
      const scopes = parameters.get('scope')?.split(' ').filter(Boolean) ?? []
      const usual = scopes.length === 0 || (scopes.length === 1 && scopes[0] === scopeOf(repository))
      return { kind: 'bearer', realm, service: parameters.get('service'), ...(!usual && { scopes }) }
    } catch (error) {
      refusal ??= error
    }
  }
  if (settings.credential && challenges.some(({ scheme }) => scheme === 'basic')) return { kind: 'basic' }
  if (refusal) throw refusal
  return undefined
}

/** The same again would be refused again. */
function isRepetition(way: Known, repository: RepositoryName, sent: Ticket | undefined): boolean {
  if (way.kind === 'basic') return sent?.kind === 'basic'
  if (sent?.kind !== 'bearer' || sent.cached) return false
  return keyOf({ ...way, scopes: way.scopes ?? [scopeOf(repository)] }) === keyOf(sent.request)
}

function scopeOf(repository: RepositoryName): string {
  return `repository:${repository}:pull`
}
