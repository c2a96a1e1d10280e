import { errorCodeOf } from '../flow/error-code.ts'
import { type ErrorCode, RegistryError } from '../oci/error.ts'
import { UpstreamError } from '../upstream/registry-client.ts'

/**
 * What a client is told when upstream does not deliver. Never 429 or 401: podman would wait, containerd hammer, and
 * nobody can log in to somebody else's registry through a mirror.
 */
export function answerFor(
  error: unknown,
  absent: Extract<ErrorCode, 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN'>,
): unknown {
  if (isDiskTrouble(error)) return unavailable('this site has no room for it', undefined, error)
  if (!(error instanceof UpstreamError)) return error
  switch (error.kind) {
    case 'absent':
    case 'refused':
      return new RegistryError(absent, { cause: error })
    case 'limited':
      return unavailable('the upstream registry allows no more requests for now', error.retryAfterMs, error)
    case 'down':
      return unavailable('the upstream registry cannot be reached', error.retryAfterMs, error)
    case 'lying':
      return unavailable('the upstream registry sent an answer that cannot be right', undefined, error)
    default:
      return error.kind satisfies never
  }
}

export function unavailable(message: string, retryAfterMs = 0, cause?: unknown): RegistryError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  return new RegistryError('UNAVAILABLE', { message, cause, headers: { 'retry-after': String(seconds) } })
}

function isDiskTrouble(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'].includes(errorCodeOf(error) ?? '')
}
