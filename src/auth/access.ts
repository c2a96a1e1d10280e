/** Who asks. Accounts come later; until then everybody is nobody. */
export interface Principal {
  kind: 'anonymous'
}

export type Action = 'pull'

/** What the decision needs to know of what is asked for. */
export interface AccessSubject {
  public: boolean
}

/**
 * The one gate: every answer about a repository's content passes it. A caller without the right is told what one is told
 * of a thing that does not exist.
 */
export function decide(_principal: Principal, action: Action, subject: AccessSubject): 'allow' | 'absent' {
  switch (action) {
    case 'pull':
      return subject.public ? 'allow' : 'absent'
    default:
      return action satisfies never
  }
}
