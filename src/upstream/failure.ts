import type { Dispatcher } from 'undici'
import { errorCodeOf } from '../flow/error-code.ts'
import { UpstreamError } from './registry-client.ts'
import { retryAfterMs } from './retry-after.ts'

/** A web page where a registry should answer: a captive portal or a proxy's error page. Nobody is home there. */
export class WebPageError extends UpstreamError {}

/** Upstream is there, and failed at this one thing: others may go well. */
export class FailedAnswerError extends UpstreamError {}

/** No token is given for now, so that nothing can be asked for that needs one. */
export class TokenLimitError extends UpstreamError {}

/** What a status that is no success means, said of `host`. */
export function errorOfStatus(
  status: number,
  headers: Dispatcher.ResponseData['headers'],
  host: string,
  now: number,
): UpstreamError {
  const message = `${host}: answered ${status}`
  const options = { retryAfterMs: retryAfterMs(oneOf(headers['retry-after']), now) }
  if (status === 404 || status === 410) return new UpstreamError('absent', message)
  if (status === 401 || status === 403 || status === 451) return new UpstreamError('refused', message)
  if (status === 429) return new UpstreamError('limited', message, options)
  if (status >= 500 || status === 408) return new FailedAnswerError('down', message, options)
  return new UpstreamError('lying', message)
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to it',
  ENETUNREACH: 'no route to its network',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name does not resolve at the moment',
  ETIMEDOUT: 'no connection in time',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet, or the clock of this machine is behind',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an unknown authority',
  UND_ERR_ABORTED: 'the proxy opened no tunnel to it',
  UND_ERR_BODY_TIMEOUT: 'it fell silent',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_PRX_CONN: 'the proxy closed the connection',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'it sent another length than it stated',
  UND_ERR_SOCKET: 'it closed the connection',
}

/** A connection that failed, or broke in the middle. Errors that already say what they mean pass. */
export function errorOfConnection(cause: unknown, host: string): UpstreamError {
  if (cause instanceof UpstreamError) return cause
  const code = errorCodeOf(cause)
  const reason = (code && reasons[code]) ?? code ?? 'the connection failed'
  return new UpstreamError('down', `${host}: ${reason}`, { cause })
}

/** Closed before a status came, as a kept-alive connection may be under our hands. */
export function isClosedConnection(error: unknown): boolean {
  const code = errorCodeOf(error)
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE'
}

export function oneOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0]
}
