import type { Mistake } from './findings.ts'
import { certificateMistake } from './verdicts/certificate.ts'
import { clockMistake } from './verdicts/clock.ts'
import { connectionMistake, wrongScheme } from './verdicts/connection.ts'
import { statusMistake } from './verdicts/status.ts'
import { type Answer, type Endpoint, exchange, type Limits } from './wire/exchange.ts'
import { failureOf, type WireFailure } from './wire/failure.ts'

/** What is the same for all clients at a door. */
export interface Reached {
  mistakes: Mistake[]
  /** No client would get any further. */
  isBlocked: boolean
}

const ping = { method: 'GET', path: '/v2/', headers: { 'user-agent': 'outport-doctor' } } as const

/** Whether a door can be asked at all. Its certificate is read, and not believed. */
export async function reach(endpoint: Endpoint, limits: Limits, signal: AbortSignal): Promise<Reached> {
  const { url } = endpoint
  const answer = await attempt(endpoint, limits, signal)
  if (!('status' in answer)) {
    const isOther = answer.kind !== 'unresolved' && (await speaksOther(endpoint, answer, limits, signal))
    const mistake = isOther ? wrongScheme(url) : connectionMistake(url, answer, limits)
    return { mistakes: [mistake], isBlocked: true }
  }
  // Many servers answer 400 to who speaks the wrong scheme.
  if (url.protocol === 'http:' && answer.status === 400 && (await speaks(otherOf(endpoint), limits, signal)))
    return { mistakes: [wrongScheme(url)], isBlocked: true }
  return judge(url, answer, Date.now())
}

/** @param now milliseconds since 1970 */
export function judge(url: URL, answer: Answer, now: number): Reached {
  if (isSentToHttps(url, answer)) return { mistakes: [wrongScheme(url)], isBlocked: true }
  const { date } = answer.headers
  const clock = clockMistake(url.host, date, now)
  const there = clock && date !== undefined ? Date.parse(date) : now
  const certificate = answer.peer && certificateMistake(answer.peer.certificate, url, [now, there])
  const status = statusMistake('GET /v2/', 'ping', answer)
  const portal = status?.code === 'captive-portal' ? status : undefined
  const mistakes = [clock, certificate ?? portal].filter((each) => each !== undefined)
  return {
    mistakes,
    isBlocked: certificate !== undefined || portal !== undefined || isOutOfDate(answer, now),
  }
}

function isSentToHttps({ protocol, hostname }: URL, { status, headers: { location = '' } }: Answer): boolean {
  if (protocol !== 'http:' || status < 300 || status >= 400 || !URL.canParse(location)) return false
  const to = new URL(location)
  return to.protocol === 'https:' && to.hostname === hostname
}

/** As this machine's clock has it, which is then wrong: no client would go on. */
function isOutOfDate({ peer }: Answer, now: number): boolean {
  if (!peer) return false
  const { validFromDate, validToDate } = peer.certificate
  return now < validFromDate.getTime() || now > validToDate.getTime()
}

async function attempt(
  endpoint: Endpoint,
  limits: Limits,
  signal: AbortSignal,
): Promise<Answer | WireFailure> {
  try {
    return await exchange(endpoint, ping, { limits }, signal)
  } catch (error) {
    signal.throwIfAborted()
    return failureOf(error)
  }
}

function speaksOther(
  endpoint: Endpoint,
  { kind }: WireFailure,
  limits: Limits,
  signal: AbortSignal,
): Promise<boolean> {
  const hints: readonly WireFailure['kind'][] = ['closed', 'not-tls', 'not-http', 'answer-timeout']
  return hints.includes(kind) ? speaks(otherOf(endpoint), limits, signal) : Promise.resolve(false)
}

async function speaks(endpoint: Endpoint, limits: Limits, signal: AbortSignal): Promise<boolean> {
  return 'status' in (await attempt(endpoint, limits, signal))
}

/** The same door in the other scheme. */
function otherOf({ url, at }: Endpoint): Endpoint {
  const isSecure = url.protocol === 'https:'
  const port = Number(url.port || (isSecure ? 443 : 80))
  const other = new URL(`${isSecure ? 'http' : 'https'}://${url.hostname}:${port}`)
  return { url: other, at: at ?? { host: url.hostname.replace(/^\[|\]$/g, ''), port } }
}
