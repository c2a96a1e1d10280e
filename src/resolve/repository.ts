import type { Pattern } from '../oci/pattern.ts'
import type { Platform } from '../oci/platform.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { RegistryClient, UpstreamErrorKind } from '../upstream/registry-client.ts'

/** A repository as the resolver sees it: its name here, where its content comes from, and how old an answer may be. */
export interface ResolvedRepository {
  repository: RepositoryName
  /** Absent: there is only what is here. */
  upstream?: { client: RegistryClient; repository: RepositoryName }
  freshness: readonly FreshnessRule[]
  stale: StaleRule
  prefetch: false | PrefetchRule
  /** Only what upstream has is meant, and nothing that was pushed here. */
  asUpstream?: true
}

/** One that is a mirror. */
export type MirroredRepository = ResolvedRepository & Required<Pick<ResolvedRepository, 'upstream'>>

/** First match wins. */
export interface FreshnessRule {
  tag: Pattern
  forMs: number
}

export interface StaleRule {
  /** What may go wrong upstream for an old answer to be given. `not-found` includes `upstream-error`. */
  when: 'never' | 'upstream-error' | 'not-found'
  /** Since upstream last confirmed it. */
  forMs: number
}

/** What is fetched before it is asked for. */
export interface PrefetchRule {
  /** Of an index, at once; without any, the blobs of the image that is asked for. */
  platforms: readonly Platform[]
}

/** Where an answer came from, as `X-Outport-Cache` says it. */
export type CacheStatus =
  /** From here, upstream was not asked. */
  | 'hit'
  /** From here, upstream has just confirmed it. */
  | 'revalidated'
  /** From upstream, and kept. */
  | 'fill'
  /** From here, although upstream did not confirm it. */
  | 'stale'
  /** Upstream has it, this site does not yet: only HEAD ends so. */
  | 'miss'

/** What an answer says of itself. */
export interface Provenance {
  source: CacheStatus
  /** Milliseconds since upstream confirmed it; absent for what never changes. */
  ageMs?: number
  /** Why upstream did not confirm it: it is slow, or failed. Goes with `stale`. */
  unconfirmed?: 'slow' | UpstreamErrorKind
}
