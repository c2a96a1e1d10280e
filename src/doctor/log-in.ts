import type { SecureContext } from 'node:tls'
import type { Credential } from './credentials.ts'
import type { Mistake } from './findings.ts'
import { type Demand, demandOf, isMistake, realmMistake } from './verdicts/challenge.ts'
import { connectionMistake } from './verdicts/connection.ts'
import { type Answer, type Endpoint, exchange, type Limits } from './wire/exchange.ts'
import { failureOf } from './wire/failure.ts'

export interface LogInOptions {
  /** The request that was answered 401. */
  what: string
  answer: Answer
  endpoint: Endpoint
  trust: SecureContext
  credential: Credential | undefined
  /** What the token is for; absent: only to be let in. */
  repository?: string | undefined
  limits: Limits
  signal: AbortSignal
}

/** Shows a door what it asks for, as podman and crane do. @returns neither: there is nothing to show */
export async function logIn(options: LogInOptions): Promise<LoggedIn> {
  const { what, answer, endpoint, credential, repository } = options
  const demand = demandOf(what, answer)
  if (isMistake(demand)) return { mistake: demand }
  if (demand.scheme === 'basic') {
    if (credential) return { authorization: basic(credential) }
    return repository === undefined ? {} : { mistake: refused(endpoint.url, answer.status, undefined) }
  }
  // Behind a name that is only connected elsewhere the realm is, too.
  const isHere = demand.realm.host === endpoint.url.host
  const realm = isHere && endpoint.at ? { url: endpoint.url, at: endpoint.at } : { url: demand.realm }
  const asked = await askRealm(options, demand, realm)
  const elsewhere = realmMistake(endpoint, demand.realm)
  return asked.isSilent || !elsewhere ? asked : { mistake: elsewhere }
}

interface LoggedIn {
  authorization?: string
  mistake?: Mistake
  /** Nobody answers at the realm. */
  isSilent?: boolean
}

async function askRealm(
  options: LogInOptions,
  { realm, service }: Extract<Demand, { scheme: 'bearer' }>,
  endpoint: Endpoint,
): Promise<LoggedIn> {
  const { credential, repository, trust, limits, signal, endpoint: door } = options
  const query = new URLSearchParams(realm.search)
  // A password goes to nobody but the door itself.
  const shown = realmMistake(door, realm) ? undefined : credential
  if (shown) query.set('account', shown.username)
  if (repository !== undefined) query.set('scope', `repository:${repository}:pull`)
  if (service !== undefined) query.set('service', service)
  const path = `${realm.pathname}?${query}`
  const headers: Record<string, string> = shown ? { authorization: basic(shown) } : {}
  let answer: Answer
  try {
    answer = await exchange(endpoint, { method: 'GET', path, headers }, { trust, limits }, signal)
  } catch (error) {
    signal.throwIfAborted()
    return { isSilent: true, mistake: unreachable(realm, connectionMistake(realm, failureOf(error), limits)) }
  }
  const token = tokenIn(answer)
  if (answer.status === 200 && token !== undefined) return { authorization: `Bearer ${token}` }
  if (answer.status === 401 || answer.status === 403) return { mistake: refused(realm, answer.status, shown) }
  const what = `it answers ${answer.status}, and no token`
  return { mistake: unreachable(realm, { code: 'server-error', what, advice: 'its log says why' }) }
}

function unreachable({ href }: URL, { what, advice }: Mistake): Mistake {
  return {
    code: 'realm-unreachable',
    what: `no login at the realm ${href.slice(0, 200)}: ${what}`,
    advice: `clients log in at the address that the node names: its public address (see Settings), or the Host header that a proxy before it passes on. Or: ${advice}`,
  }
}

function refused({ href }: URL, status: number, credential: Credential | undefined): Mistake {
  const who = credential
    ? `the login of ${credential.username} in ${credential.file}`
    : 'who is not logged in'
  return {
    code: 'credentials-refused',
    what: `${href.slice(0, 200)} refuses ${who}: ${status}`,
    advice: 'log in again with the right password: `podman login`, `docker login`, `crane auth login`',
  }
}

function basic({ username, password }: Credential): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function tokenIn({ body }: Answer): string | undefined {
  try {
    const { token, access_token } = JSON.parse(body.toString())
    const found = token ?? access_token
    return typeof found === 'string' ? found : undefined
  } catch {
    return undefined
  }
}
