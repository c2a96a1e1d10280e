import { type Answer, drop } from './answer.ts'
import { oneOf } from './failure.ts'
import { UpstreamError } from './registry-client.ts'
import type { OutgoingRequest, Transport } from './transport.ts'

const maxHops = 5
const statuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

export function isRedirect(status: number): boolean {
  return statuses.has(status)
}

/**
 * Sends a GET or HEAD and goes where the answers lead. `authorization` is for the first url's exact origin (scheme,
 * host and port) and is left out elsewhere; a chain that comes back to it may have it again.
 * @throws UpstreamError `lying` for a redirect that is not followed.
 */
export async function follow(
  transport: Transport,
  first: URL,
  request: OutgoingRequest,
  authorization: string | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  let url = first
  for (let hop = 0; hop <= maxHops; hop++) {
    const own = authorization !== undefined && url.origin === first.origin
    const headers = own ? { ...request.headers, authorization } : request.headers
    const answer = await transport.send(url, { ...request, headers }, signal)
    if (!isRedirect(answer.status)) return answer
    drop(answer)
    url = nextHop(answer, transport)
  }
  throw new UpstreamError('lying', `${first.host}: redirected more than ${maxHops} times`)
}

function nextHop({ url, headers }: Answer, transport: Transport): URL {
  const refused = (reason: string) => new UpstreamError('lying', `${url.host}: redirect refused, ${reason}`)
  const location = oneOf(headers.location)
  if (!location) throw refused('it leads nowhere')
  const next = URL.parse(location, url)
  if (!next) throw refused('it is no URL')
  if (next.protocol !== 'https:' && next.protocol !== 'http:') throw refused(`it leads to ${next.protocol}`)
  if (next.username !== '' || next.password !== '') throw refused(`it names ${next.host} with a login`)
  if (url.protocol === 'https:' && next.protocol === 'http:')
    throw refused(`it leads to ${next.host} without TLS`)
  if (transport.trustOf(next) === 'foreign' && !isWebPort(next)) throw refused(`${next.host} is not allowed`)
  next.hash = ''
  return next
}

/** Below 1024 only the web's own ports: no upstream has business with our mail or shell servers. */
function isWebPort({ port }: URL): boolean {
  return port === '' || port === '80' || port === '443' || Number(port) >= 1024
}
