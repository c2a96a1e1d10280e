const codes = {
  BAD_REQUEST: { status: 400, message: 'bad request' },
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to registry' },
  BODY_STALLED: { status: 408, message: 'the body came too slowly, or not at all' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  DIGEST_INVALID: { status: 400, message: 'provided digest is not a valid digest' },
  LOOP_DETECTED: { status: 508, message: 'this request has already passed through this site' },
  MANIFEST_BLOB_UNKNOWN: {
    status: 404,
    message: 'manifest references a manifest or blob unknown to registry',
  },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown' },
  MISDIRECTED: {
    status: 421,
    message: 'this site does not go by that name',
  },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to registry' },
  NOT_FOUND: { status: 404, message: 'no such page' },
  PAGINATION_NUMBER_INVALID: { status: 400, message: 'invalid number of results requested' },
  RANGE_INVALID: { status: 416, message: 'the requested range cannot be satisfied' },
  SIZE_INVALID: { status: 400, message: 'provided length did not match content length' },
  TAG_INVALID: { status: 400, message: 'invalid tag name' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  TOO_LARGE: { status: 413, message: 'the body is too large' },
  TOO_MANY_TAGS: { status: 414, message: 'too many tags in one request' },
  NO_ROOM: { status: 507, message: 'this site has no room for it' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  UNAVAILABLE: { status: 503, message: 'the upstream registry cannot be reached' },
  UNKNOWN: { status: 500, message: 'unknown error' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
} as const satisfies Record<string, { status: number; message: string }>

export type ErrorCode = keyof typeof codes

export interface RegistryErrorOptions {
  /** A sentence for the person who pulls; dockerd and podman print it. Absent: the code's own. */
  message?: string
  detail?: unknown
  /** Absent: the code's own. */
  status?: number
  headers?: Readonly<Record<string, string>>
  cause?: unknown
}

/** An answer that is an error: the code, status and body of distribution-spec "Error Codes". */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly code: ErrorCode
  readonly status: number
  readonly detail: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, options: RegistryErrorOptions = {}) {
    super(options.message ?? codes[code].message, { cause: options.cause })
    this.code = code
    this.status = options.status ?? codes[code].status
    this.detail = options.detail
    this.headers = options.headers ?? {}
  }
}
