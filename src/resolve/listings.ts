import { orAbandon } from '../flow/abandon.ts'
import { createSingleFlight } from '../flow/single-flight.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { mediaTypes } from '../oci/manifest.ts'
import type { Tag } from '../oci/reference.ts'
import { type TagPage, UpstreamError } from '../upstream/registry-client.ts'
import { answerFor } from './errors.ts'
import { mayServeStale } from './freshness.ts'
import type { KeepManifest } from './keep.ts'
import type { LocalSource, StoredManifest } from './local.ts'
import type { OwnListings, ReferrersQuery } from './own-listings.ts'
import { createPaced } from './pace.ts'
import type { MirroredRepository, Provenance, ResolvedRepository } from './repository.ts'

/** Signatures and SBOMs arrive some time after their image. */
const referrersFreshMs = 5 * 60_000
const localPage = 1000

export interface TagsAnswer extends Provenance {
  tags: string[]
  /** Ask for more after this one. */
  last?: string
}

export interface ReferrersAnswer extends Provenance {
  /** An image index: upstream's as it sent it. */
  bytes: Buffer
  /** Only what was asked for is in it. */
  isFiltered: boolean
  /** Ask for more after this one. */
  last?: Digest
}

/** What a repository lists: upstream's word, or what is known here while upstream is silent. */
export interface Listings {
  /** @throws RegistryError `NAME_UNKNOWN`, `UNAVAILABLE` */
  tags(repository: ResolvedRepository, page: TagPage, signal: AbortSignal): Promise<TagsAnswer>
  /** @throws RegistryError `UNAVAILABLE` */
  referrers(
    repository: ResolvedRepository,
    digest: Digest,
    query: ReferrersQuery,
    signal: AbortSignal,
  ): Promise<ReferrersAnswer>
}

export interface ListingsOptions {
  metadata: Metadata
  local: LocalSource
  keep: KeepManifest
  own: OwnListings
  lifetime: AbortSignal
  now?: () => number
}

export function createListings(options: ListingsOptions): Listings {
  const { metadata, own, lifetime, now = Date.now } = options
  const asking = createSingleFlight<StoredManifest>()

  async function localTags(repository: ResolvedRepository, { n = localPage, last }: TagPage) {
    const page = await own.tags(repository.repository, n, last)
    return { tags: page.items, last: page.last }
  }

  return {
    async tags(repository, page, signal) {
      const { upstream } = repository
      if (!upstream) {
        const here = await localTags(repository, page)
        if (here.tags.length === 0 && !(await metadata.links.isUsed(repository.repository)))
          throw new RegistryError('NAME_UNKNOWN')
        return { ...here, source: 'hit' }
      }
      try {
        const ask = () => upstream.client.listTags(upstream.repository, page, signal)
        const list = await createPaced()(ask, signal)
        return { ...list, source: 'revalidated' }
      } catch (error) {
        const here =
          saysNothing(error) && repository.stale.when !== 'never' && (await localTags(repository, page))
        if (here && here.tags.length > 0) return { ...here, source: 'stale', unconfirmed: error.kind }
        throw toName(error)
      }
    },
    async referrers(repository, digest, query, signal) {
      const { upstream } = repository
      if (!upstream) {
        const page = await own.referrers(repository.repository, digest, query)
        return { ...page, isFiltered: true, source: 'hit' }
      }
      const isFiltered = false
      const row = await metadata.tags.find(repository.repository, listingOf(digest))
      const ageMs = row ? now() - row.checkedAt : undefined
      const kept = row && (await options.local.manifest(repository.repository, row.digest))
      if (kept && ageMs !== undefined && ageMs >= 0 && ageMs < referrersFreshMs) {
        return { bytes: kept.bytes, isFiltered, source: 'hit', ageMs }
      }
      try {
        const ask = () => fetchReferrers(options, { ...repository, upstream }, digest)
        const { bytes } = await orAbandon(asking(`${repository.repository}@${digest}`, ask), signal)
        return { bytes, isFiltered, source: 'fill', ageMs: 0 }
      } catch (error) {
        const may = row && saysNothing(error) && mayServeStale(row, repository.stale, error.kind, now())
        if (kept && may)
          return { bytes: kept.bytes, isFiltered, source: 'stale', ageMs, unconfirmed: error.kind }
        throw answerFor(error, 'MANIFEST_UNKNOWN')
      }
    },
  }

  async function fetchReferrers(
    { keep }: ListingsOptions,
    repository: MirroredRepository,
    digest: Digest,
  ): Promise<StoredManifest> {
    const { client, repository: name } = repository.upstream
    const ask = () => client.listReferrers(name, digest, lifetime)
    const bytes = Buffer.from(await createPaced()(ask, lifetime))
    return keep(
      repository,
      { digest: digestOf(bytes), mediaType: mediaTypes.ociIndex, bytes },
      listingOf(digest),
    )
  }
}

/** Listings are kept like tags, under a name that no tag can have. */
export function listingOf(digest: Digest): Tag {
  return `referrers:${digest}` as Tag
}

/** What is known here stands in for an upstream that does not answer, never for an answer that is no good. */
function saysNothing(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && (error.kind === 'down' || error.kind === 'limited')
}

function toName(error: unknown): unknown {
  const known = error instanceof UpstreamError && (error.kind === 'absent' || error.kind === 'refused')
  return known ? new RegistryError('NAME_UNKNOWN', { cause: error }) : answerFor(error, 'MANIFEST_UNKNOWN')
}
