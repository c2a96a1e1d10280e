import type { Action } from '../auth/access.ts'
import { CredentialError } from '../auth/callers.ts'
import type { HttpContext } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import type { Site } from '../projects/project.ts'
import { originOf } from './door.ts'

export interface Challenger {
  /** The name of this site: the `service` of its challenges. */
  service: string
  /** The origin that clients know this site by, where the operator has said it. */
  publicUrl: string | undefined
}

/** What a token has to hold; `undefined` where it only has to be valid. */
export type Scope = { name: string; action: Action; from?: string } | 'catalog' | undefined

/**
 * A refusal that says where and for what a token is had (Docker's token protocol). The same whether the thing is there or not.
 * @param short what was shown is right, but not enough
 * @throws RegistryError `MISDIRECTED` under a name that is not this site's
 */
export function challenge(
  c: HttpContext,
  site: Site,
  { service, publicUrl }: Challenger,
  scope: Scope,
  short: boolean,
  cause?: unknown,
): RegistryError {
  const wrong = cause instanceof CredentialError ? cause : undefined
  const error = wrong?.kind === 'token' ? 'invalid_token' : short ? 'insufficient_scope' : undefined
  const parts = [
    `realm="${originOf(c, site, publicUrl)}/service/token"`,
    `service="${service}"`,
    ...(scope === undefined ? [] : [`scope="${textOf(scope)}"`]),
    ...(error === undefined ? [] : [`error="${error}"`]),
  ]
  return new RegistryError('UNAUTHORIZED', {
    ...(wrong && { message: wrong.message }),
    headers: { 'www-authenticate': `Bearer ${parts.join(',')}` },
  })
}

/** Who pushes looks first what is there. */
function textOf(scope: NonNullable<Scope>): string {
  if (scope === 'catalog') return 'registry:catalog:*'
  const actions = scope.action === 'push' ? 'pull,push' : scope.action
  const source = scope.from === undefined ? '' : ` repository:${scope.from}:pull`
  return `repository:${scope.name}:${actions}${source}`
}
