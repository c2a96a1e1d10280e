import type { Readable } from 'node:stream'
import type { Calendar } from '../flow/calendar.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference, RepositoryName } from '../oci/reference.ts'

export type RegistryType = 'docker-hub' | 'harbor' | 'docker-registry' | 'outport' | 'oci-layout'

/** A remote endpoint as the operator described it (kind `registry`), with its secrets resolved. Never logged whole. */
export interface RegistrySettings {
  name: string
  type: RegistryType
  /** Tried in order; origin and an optional path prefix, no trailing slash. */
  urls: readonly string[]
  /** `host` or `host:port` to connect to instead of the url's; TLS name and Host header stay the url's. */
  address?: string
  /** The value of `?ns=` that selects this registry, and what `OCI-Namespace` says. */
  ns: string
  /** Host names under which this site answers as this registry. */
  serveAs: readonly string[]
  credential?: { username: string; password: string }
  /** `host` or `host:port` that may receive the credential as a token realm, besides the url's own origin. */
  tokenHosts: readonly string[]
  /** `host` or `host:port` that redirects may lead to although they are private. */
  redirectHosts: readonly string[]
  /** PEM. */
  ca?: string
  /** PEM; shown to the url's own origin only. */
  clientCertificate?: { cert: string; key: string }
  /** No certificate check for the url's own origin. */
  insecure: boolean
  /** Bytes a second, of all its blobs together, always or by the hour. */
  bandwidth?: number | Calendar
  /** What of its rate limit is kept back for what somebody waits for; absent: a tenth. */
  budget?: { reserve: BudgetReserve }
  connections: number
  timeouts: { headMs: number; idleMs: number }
  /** How many ranges of one blob are fetched at a time; `auto`: as the line makes them worth while. */
  segments: number | 'auto'
}

export type BudgetReserve = { kind: 'requests'; requests: number } | { kind: 'fraction'; fraction: number }

/** The environment's HTTP proxy, if any: what `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` mean everywhere. */
export interface ProxySettings {
  httpProxy?: string
  httpsProxy?: string
  noProxy?: string
}

/**
 * Another registry, read over the distribution API. Every method rejects with {@link UpstreamError} when upstream
 * does not give what was asked for, and with the signal's reason when the signal ends it.
 */
export interface RegistryClient {
  readonly settings: RegistrySettings
  /** Upstream is known not to answer: a request now would fail at once. */
  isDown(): boolean
  /** It was found not to answer, and nothing has been heard of it since. */
  isUnreachable(): boolean
  /** It has said that we ask for manifests too much: a request for one now would fail at once. */
  isLimited(): boolean
  /** So few manifests are left of what it allows that only those that somebody waits for should be asked for. */
  isSparing(): boolean
  /** It counts the manifests that it gives, and does not count HEADs. */
  countsOnlyGets(): boolean
  /** What it allows, by what is asked for, as far as it has said. */
  limits(): UpstreamLimit[]
  /** Upstream has answered something within the last second, and nothing has failed since. */
  isAnswering(): boolean
  /** From a request to its answer, at best, as far as its latest answers tell. */
  latencyMs(): number | undefined
  /** HEAD; free of charge on Docker Hub. `digest` is upstream's claim, absent when it made none. */
  headManifest(repository: RepositoryName, reference: Reference, signal: AbortSignal): Promise<ManifestHead>
  /** Verified: the bytes are a manifest, and hash to the digest when it was asked for by digest. */
  getManifest(repository: RepositoryName, reference: Reference, signal: AbortSignal): Promise<FetchedManifest>
  headBlob(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<BlobHead>
  /** Resolves when upstream's status is there. The bytes are unverified. Ending `body` early closes the connection. */
  openBlob(
    repository: RepositoryName,
    digest: Digest,
    from: BlobOffset,
    signal: AbortSignal,
  ): Promise<BlobStream>
  /** One page of upstream's tags, in its order. */
  listTags(repository: RepositoryName, page: TagPage, signal: AbortSignal): Promise<TagList>
  /** The bytes of upstream's referrers index, from the API or the fallback tag; an empty index where it has neither. */
  listReferrers(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<Uint8Array>
  /** Bytes a second that its blobs may take together now; absent: as many as come. */
  bandwidth(): number | undefined
  /**
   * From now on the bandwidth is that of `settings`, which are otherwise the same. Blobs under way follow within a second;
   * those that were begun without any limit come to their end so.
   */
  pace(settings: RegistrySettings): void
  close(): Promise<void>
}

export interface UpstreamLimit {
  kind: 'manifest' | 'blob' | 'listing'
  /** Requests within its window. */
  limit?: number
  remaining?: number
  /** Until nothing remains, at the present rate; absent: it lasts until the window is over. */
  lastsMs?: number
  /** Nothing is asked before. */
  limitedForMs?: number
}

export interface ManifestHead {
  digest?: Digest
  mediaType?: string
  size?: number
}

export interface FetchedManifest {
  digest: Digest
  mediaType: string
  bytes: Buffer
}

export interface BlobHead {
  size?: number
}

export interface BlobOffset {
  /** First byte wanted; 0 without `end` sends no Range. */
  offset: number
  /** Byte behind the last one wanted; absent: all there are. */
  end?: number
  /** The strong validator of an earlier answer, sent as `If-Range` with a range. */
  etag?: string
  /** Whether somebody waits for the bytes, asked again while they flow; absent: yes. */
  urgent?: () => boolean
  /** One connection more for what another one brings already: fails at once, as `limited`, when none is free. */
  spare?: boolean
}

export interface BlobStream {
  /** Where the bytes begin: `offset`, or 0 when upstream ignored the range or has other bytes now. */
  offset: number
  /** Where they end, as far as upstream says it. */
  end?: number
  /** Upstream sends the whole blob, although a part was asked for. */
  ignoredRange: boolean
  /** The whole blob's size as upstream states it (Content-Length or Content-Range). */
  size?: number
  etag?: string
  body: Readable
  /** Takes the memory of a chunk of `body`, or of a part of one, at which nobody will look again. Need not be called. */
  giveBack(chunk: Uint8Array): void
}

export interface TagPage {
  n?: number
  last?: string
}

export interface TagList {
  tags: string[]
  /** There may be more after this one. */
  last?: string
}

/**
 * - `absent`: 404 or 410. `refused`: 401 or 403. `limited`: 429.
 * - `down`: no connection, no status in time, 5xx, breaker open, or a broken body.
 * - `lying`: an answer that cannot be true: wrong digest, no manifest, HTML, a refused redirect or realm.
 */
export type UpstreamErrorKind = 'absent' | 'refused' | 'limited' | 'down' | 'lying'

export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly kind: UpstreamErrorKind
  /** From `Retry-After`, for `limited` and `down`. */
  readonly retryAfterMs: number | undefined

  /** `message` is for the operator's log: it names the host and the reason, never a secret or a query string. */
  constructor(
    kind: UpstreamErrorKind,
    message: string,
    options: { retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.kind = kind
    this.retryAfterMs = options.retryAfterMs
  }
}
