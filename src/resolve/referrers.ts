import { orAbandon } from '../flow/abandon.ts'
import { createSingleFlight } from '../flow/single-flight.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import type { Tag } from '../oci/reference.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import { answerFor } from './errors.ts'
import { mayServeStale, saysNothing } from './freshness.ts'
import type { KeepManifest } from './keep.ts'
import type { LocalSource, StoredManifest } from './local.ts'
import { mergePages, type Page } from './merge.ts'
import {
  cutReferrers,
  indexOf,
  type ListedReferrer,
  type OwnListings,
  provenanceWithout,
  type ReferrersQuery,
} from './own-listings.ts'
import { createPaced } from './pace.ts'
import type { MirroredRepository, Provenance, ResolvedRepository } from './repository.ts'

/** Signatures and SBOMs arrive some time after their image. */
const referrersFreshMs = 5 * 60_000

export interface ReferrersAnswer extends Provenance {
  /** An image index: upstream's as it sent it, where nothing was pushed. */
  bytes: Buffer
  /** Only what was asked for is in it. */
  isFiltered: boolean
  /** Ask for more after this one. */
  last?: Digest
}

/** @throws RegistryError `UNAVAILABLE` */
export type ListReferrers = (
  repository: ResolvedRepository,
  subject: Digest,
  query: ReferrersQuery,
  signal: AbortSignal,
) => Promise<ReferrersAnswer>

export interface ReferrersOptions {
  metadata: Metadata
  local: LocalSource
  keep: KeepManifest
  own: OwnListings
  lifetime: AbortSignal
  now?: () => number
}

/** What was pushed here and what upstream lists, together. */
export function createListReferrers(options: ReferrersOptions): ListReferrers {
  const { metadata, local, own, now = Date.now } = options
  const asking = createSingleFlight<StoredManifest>()

  async function mirrored(
    repository: MirroredRepository,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<Provenance & { bytes: Buffer }> {
    const row = await metadata.tags.find(repository.repository, listingOf(subject))
    const ageMs = row ? now() - row.checkedAt : undefined
    const kept = row && (await local.manifest(repository.repository, row.digest))
    if (kept && ageMs !== undefined && ageMs >= 0 && ageMs < referrersFreshMs) {
      return { bytes: kept.bytes, source: 'hit', ageMs }
    }
    try {
      const ask = () => fetchReferrers(options, repository, subject)
      const { bytes } = await orAbandon(asking(`${repository.repository}@${subject}`, ask), signal)
      return { bytes, source: 'fill', ageMs: 0 }
    } catch (error) {
      const may = row && saysNothing(error) && mayServeStale(row, repository.stale, error.kind, now())
      if (kept && may) return { bytes: kept.bytes, source: 'stale', ageMs, unconfirmed: error.kind }
      throw error
    }
  }

  return async (repository, subject, query, signal) => {
    const { upstream, repository: name, asUpstream } = repository
    const pushed = asUpstream ? { items: [] } : await own.referrers(name, subject, query)
    if (!upstream) return { ...answerOf(pushed), source: 'hit' }
    try {
      const answer = await mirrored({ ...repository, upstream }, subject, signal)
      if (pushed.items.length === 0 && query.last === undefined) return { ...answer, isFiltered: false }
      const { bytes, ...provenance } = answer
      const listed: Page<ListedReferrer, Digest> = { items: listedIn(bytes, query) }
      const all = mergePages(pushed, listed, ({ digest }) => digest)
      return { ...answerOf(cutReferrers(all, query.n)), ...provenance }
    } catch (error) {
      // Of what was pushed here upstream need not know anything.
      const isOwn = pushed.items.length > 0 || (!asUpstream && (await local.isKept(name, subject)))
      if (!isOwn || !(error instanceof UpstreamError)) throw answerFor(error, 'MANIFEST_UNKNOWN')
      return { ...answerOf(pushed), ...provenanceWithout(error.kind) }
    }
  }
}

function answerOf({ items, last }: Page<ListedReferrer, Digest>) {
  return { bytes: indexOf(items), isFiltered: true, ...(last !== undefined && { last }) }
}

function listedIn(index: Buffer, { artifactType, last }: ReferrersQuery): ListedReferrer[] {
  const { manifests = [] }: { manifests?: { digest?: string; artifactType?: string }[] } = JSON.parse(
    index.toString(),
  )
  return manifests.flatMap((each): ListedReferrer[] => {
    const { digest = '' } = each
    const isMeant = artifactType === undefined || each.artifactType === artifactType
    if (!isMeant || digest <= (last ?? '') || !isDigest(digest)) return []
    return [{ digest, descriptor: JSON.stringify(each) }]
  })
}

async function fetchReferrers(
  { keep, lifetime }: ReferrersOptions,
  repository: MirroredRepository,
  subject: Digest,
): Promise<StoredManifest> {
  const { client, repository: name } = repository.upstream
  const ask = () => client.listReferrers(name, subject, lifetime)
  const bytes = Buffer.from(await createPaced()(ask, lifetime))
  const listing = { digest: digestOf(bytes), mediaType: mediaTypes.ociIndex, bytes }
  return keep(repository, listing, listingOf(subject))
}

/** Listings are kept like tags, under a name that no tag can have. */
export function listingOf(digest: Digest): Tag {
  return `referrers:${digest}` as Tag
}
