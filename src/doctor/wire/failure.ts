import { errorCodeOf } from '../../flow/error-code.ts'

/** Why there is no answer. */
export type FailureKind =
  | 'unresolved'
  | 'refused'
  | 'unreachable'
  | 'connect-timeout'
  | 'answer-timeout'
  | 'closed'
  | 'not-tls'
  | 'not-http'
  | 'untrusted'

export class WireFailure extends Error {
  override readonly name = 'WireFailure'
  readonly kind: FailureKind

  constructor(kind: FailureKind, cause?: unknown) {
    super(cause instanceof Error ? cause.message : kind, { cause })
    this.kind = kind
  }
}

const kinds: Readonly<Record<string, FailureKind>> = {
  ENOTFOUND: 'unresolved',
  EAI_AGAIN: 'unresolved',
  EAI_FAIL: 'unresolved',
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  ETIMEDOUT: 'connect-timeout',
  EPROTO: 'not-tls',
}

/** What OpenSSL says of a chain that leads to no authority it knows (verify(1), "Diagnostics"), and of dates. */
const untrusted =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|INVALID_CA|ERROR_IN_CERT)/

export function failureOf(error: unknown): WireFailure {
  if (error instanceof WireFailure) return error
  // Every address of a name was tried.
  const first = error instanceof AggregateError ? error.errors[0] : error
  const code = errorCodeOf(first) ?? errorCodeOf(error) ?? ''
  return new WireFailure(kindOf(code), first)
}

function kindOf(code: string): FailureKind {
  if (untrusted.test(code)) return 'untrusted'
  if (code.startsWith('HPE_')) return 'not-http'
  if (code.startsWith('ERR_SSL_')) return 'not-tls'
  return kinds[code] ?? 'closed'
}
