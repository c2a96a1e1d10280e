import { anonymous, type Caller } from '../auth/access.ts'
import { type Callers, CredentialError } from '../auth/callers.ts'
import { callerOf } from '../http/caller.ts'
import type { HttpContext } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { nameUnknown } from '../projects/locate.ts'
import { onlyMirrors, type Site } from '../projects/project.ts'
import { type Challenger, challenge, type Scope } from './challenge.ts'

export interface EntryOptions extends Challenger {
  callers: Callers
}

/** Somebody at a door. */
export interface Entry {
  caller: Caller
  /** There is nothing to log in for. */
  isOpen: boolean
  /** Of what is not there and of what the caller may not see: the two are not told apart. */
  refusal(name: RepositoryName): RegistryError
  /** What was shown is right, but not enough. */
  shortfall(): RegistryError
}

/**
 * At a door that asks for nothing what is shown is dropped unread: an old dockerd's password for Docker Hub is nobody's
 * business there.
 * @throws RegistryError `UNAUTHORIZED` for what is shown and wrong, and for nothing at all where a client asks whether to log in
 */
export async function enter(c: HttpContext, site: Site, options: EntryOptions, scope: Scope): Promise<Entry> {
  if (c.env.face === 'mirror' || onlyMirrors(site))
    return { caller: anonymous, isOpen: true, refusal: nameUnknown, shortfall: unauthorized }
  try {
    const address = callerOf(c.env.incoming.socket)
    const caller = await options.callers.of(c.req.header('authorization'), address)
    const asks = () => challenge(c, site, options, scope, caller.granted !== undefined)
    // A client that is answered 200 at the base never logs in.
    if (scope === undefined && caller.principal.kind === 'anonymous') throw asks()
    const isWhole = caller.principal.kind === 'user' && !caller.granted
    return { caller, isOpen: false, refusal: isWhole ? nameUnknown : asks, shortfall: asks }
  } catch (error) {
    if (!(error instanceof CredentialError)) throw error
    throw challenge(c, site, options, scope, false, error)
  }
}

function unauthorized(): RegistryError {
  return new RegistryError('UNAUTHORIZED')
}
