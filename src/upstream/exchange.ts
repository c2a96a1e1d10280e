import { orAbandon } from '../flow/abandon.ts'
import { startDeadline } from '../flow/deadline.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type Answer, drop } from './answer.ts'
import { errorOfStatus, FailedAnswerError } from './failure.ts'
import type { Login } from './login.ts'
import { follow } from './redirects.ts'
import { UpstreamError } from './registry-client.ts'
import type { Transport } from './transport.ts'

/** One of a registry's urls. */
export interface Endpoint {
  /** Its path may hold a prefix. */
  base: URL
  login: Login
}

/** A read of the distribution API. */
export interface Ask {
  kind: 'manifest' | 'blob' | 'tags' | 'referrers'
  method: 'GET' | 'HEAD'
  repository: RepositoryName
  /** After `/v2/<repository>/`, with its query. */
  path: string
  headers?: Readonly<Record<string, string>>
  /** The answer is a blob. */
  bulk?: boolean
  /** Somebody waits for it. Default true. */
  urgent?: boolean
  /** Takes the headers of the registry's own answer, whatever it is. */
  heard?(headers: Answer['headers']): void
}

/**
 * Asks one url, logs in when it wants that, and follows its redirects, all within `budgetMs` until the status is there.
 * @returns an answer of status 2xx; the signal still ends its body.
 */
export async function exchange(
  transport: Transport,
  endpoint: Endpoint,
  ask: Ask,
  budgetMs: number,
  now: () => number,
  signal: AbortSignal,
): Promise<Answer> {
  using deadline = startDeadline(budgetMs, signal)
  const { host } = endpoint.base
  try {
    const answer = await askWithLogin(transport, endpoint, ask, deadline.signal)
    if (answer.url.origin === endpoint.base.origin) ask.heard?.(answer.headers)
    if (answer.status >= 200 && answer.status < 300) return answer
    drop(answer)
    throw errorOfAnswer(answer, endpoint, now())
  } catch (error) {
    signal.throwIfAborted()
    if (deadline.expired)
      throw new UpstreamError('down', `${host}: no status within ${Math.round(budgetMs)} ms`)
    throw error
  }
}

async function askWithLogin(
  transport: Transport,
  endpoint: Endpoint,
  ask: Ask,
  signal: AbortSignal,
): Promise<Answer> {
  const { base, login } = endpoint
  const { method, repository, path, headers = {}, bulk = false } = ask
  const url = new URL(`${base.origin}${base.pathname.replace(/\/$/, '')}/v2/${repository}/${path}`)
  const send = (authorization?: string) =>
    follow(transport, url, { method, headers, bulk }, authorization, signal)

  signal.throwIfAborted()
  const ahead = await orAbandon(login.ahead(repository), signal)
  const answer = await send(ahead?.authorization)
  if (answer.status !== 401 || answer.url.origin !== base.origin) return answer

  drop(answer)
  signal.throwIfAborted()
  const ticket = await orAbandon(login.answer(answer.headers['www-authenticate'], repository, ahead), signal)
  return ticket ? send(ticket.authorization) : answer
}

/** A storage host that a registry sent us to refuses a signature, not us: another try gets another one. */
function errorOfAnswer({ status, headers, url }: Answer, { base }: Endpoint, now: number): UpstreamError {
  if ((status === 401 || status === 403) && url.origin !== base.origin) {
    return new FailedAnswerError('down', `${base.host}: redirected to ${url.host}, which answered ${status}`)
  }
  return errorOfStatus(status, headers, url.host, now)
}
