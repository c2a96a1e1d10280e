import { anonymous, type Caller } from './access.ts'
import type { Accounts } from './accounts.ts'
import type { Tokens } from './tokens.ts'

/** What a request shows of who sends it. */
export interface Callers {
  /**
   * @param authorization the header; without it, anonymous
   * @param address of the client
   * @throws CredentialError for what is not right
   */
  of(authorization: string | undefined, address: string): Promise<Caller>
}

/** What was shown is worth nothing. `password`: a user name and a password; `token`: anything else. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError'
  readonly kind: 'password' | 'token'

  constructor(kind: CredentialError['kind']) {
    super(kind === 'password' ? 'incorrect username or password' : 'invalid token')
    this.kind = kind
  }
}

export function createCallers(accounts: Accounts, tokens: Pick<Tokens, 'read'>): Callers {
  async function byPassword(encoded: string, address: string): Promise<Caller> {
    const { name, password } = parseBasic(encoded)
    if (!(await accounts.verify(name, password, address))) throw new CredentialError('password')
    return { principal: { kind: 'user', name } }
  }

  /** A token is no more than its user is now. */
  async function byToken(token: string): Promise<Caller> {
    const read = await tokens.read(token)
    if (!read) throw new CredentialError('token')
    const { subject, access } = read
    if (subject === '') return { ...anonymous, granted: access }
    if (!(await accounts.has(subject))) throw new CredentialError('token')
    return { principal: { kind: 'user', name: subject }, granted: access }
  }

  return {
    async of(authorization, address) {
      if (authorization === undefined) return anonymous
      const [, scheme = '', value = ''] = /^([A-Za-z]+) +(\S+) *$/.exec(authorization) ?? []
      switch (scheme.toLowerCase()) {
        case 'basic':
          return byPassword(value, address)
        case 'bearer':
          return byToken(value)
        default:
          throw new CredentialError('token')
      }
    },
  }
}

/** RFC 7617. @throws CredentialError */
function parseBasic(encoded: string): { name: string; password: string } {
  const text = Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 1) throw new CredentialError('password')
  return { name: text.slice(0, colon), password: text.slice(colon + 1) }
}
