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
  const trouble = diskTroubleOf(error)
  if (trouble !== undefined) return unavailable(trouble, undefined, error)
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

/** What the operator is told: what clients are, and what upstream said. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof UpstreamError ? `${error.message}: ${error.cause.message}` : error.message
}

export function unavailable(message: string, retryAfterMs = 0, cause?: unknown): RegistryError {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  return new RegistryError('UNAVAILABLE', { message, cause, headers: { 'retry-after': String(seconds) } })
}

const full: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'SQLITE_FULL'])
/** A folder that has gone or is not ours any more is no answer about a blob: the blob's own absence never throws. */
const broken: ReadonlySet<string> = new Set([
  ...[
    'EROFS',
    'EIO',
    'ENOENT',
    'ENOTDIR',
    'EACCES',
    'EPERM',
    'ENXIO',
    'ENODEV',
    'ESTALE',
    'ENOTCONN',
    'EUCLEAN',
  ],
  ...['EMFILE', 'ENFILE'],
])

/** What a client is told whose push fails: that there is no room is no reason to try at once again. */
export function pushErrorOf(error: unknown): unknown {
  if (full.has(errorCodeOf(error) ?? '')) return new RegistryError('NO_ROOM', { cause: error })
  const trouble = diskTroubleOf(error)
  return trouble === undefined ? error : unavailable(trouble, undefined, error)
}

/** What is the matter with what this site keeps its content on, for the client. */
function diskTroubleOf(error: unknown): string | undefined {
  const code = errorCodeOf(error) ?? ''
  if (full.has(code)) return 'this site has no room for it'
  return broken.has(code) || /^SQLITE_(CANTOPEN|IOERR|READONLY)/.test(code)
    ? 'this site cannot use its disk'
    : undefined
}
