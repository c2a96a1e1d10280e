import type { Access } from './tokens.ts'

/** Who asks. */
export type Principal = { kind: 'anonymous' } | { kind: 'user'; name: string }

/** Somebody, and what of his rights he has put into the token that he shows. */
export interface Caller {
  principal: Principal
  /** Absent: no token was shown. */
  granted?: readonly Access[]
}

export const anonymous: Caller = { principal: { kind: 'anonymous' } }

export const actions = ['pull', 'push', 'delete'] as const
export type Action = (typeof actions)[number]

/** What the decision needs to know of what is asked for. */
export interface AccessSubject {
  /** The repository as the client says it, and as its tokens name it. */
  name: string
  public: boolean
  /** It holds what is pushed to it, be it beside what it mirrors. */
  push: boolean
}

/**
 * The one gate: every answer about a repository's content passes it. `refuse` is the same of what is not there
 * (`undefined`) and of what the caller may not see; `read-only` is only said to who could write elsewhere.
 */
export function decide(
  { principal, granted }: Caller,
  action: Action,
  subject: AccessSubject | undefined,
): 'allow' | 'refuse' | 'read-only' {
  if (!subject) return 'refuse'
  const mayAll =
    principal.kind === 'user' && (!granted || includes(granted, 'repository', subject.name, action))
  switch (action) {
    case 'pull':
      return subject.public || mayAll ? 'allow' : 'refuse'
    case 'push':
    case 'delete':
      if (!mayAll) return 'refuse'
      return subject.push ? 'allow' : 'read-only'
    default:
      return action satisfies never
  }
}

/** Whether what only a user is listed is listed to the caller: all that may be pulled. */
export function mayListPrivate({ principal, granted }: Caller): boolean {
  return principal.kind === 'user' && (!granted || includes(granted, 'registry', 'catalog', '*'))
}

/** Names are compared whole: `team` is no part of `team-a`. */
function includes(granted: readonly Access[], type: string, name: string, action: string): boolean {
  return granted.some((each) => each.type === type && each.name === name && each.actions.includes(action))
}
