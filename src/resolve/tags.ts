import { orAbandon } from '../flow/abandon.ts'
import { createSingleFlight } from '../flow/single-flight.ts'
import type { Metadata, TagRow } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { Tag } from '../oci/reference.ts'
import { type RegistryClient, UpstreamError, type UpstreamErrorKind } from '../upstream/registry-client.ts'
import { freshnessOf, mayServeStale } from './freshness.ts'
import { graceMs, within } from './grace.ts'
import type { KeepManifest } from './keep.ts'
import type { LocalSource, StoredManifest } from './local.ts'
import type { Misses } from './misses.ts'
import { atOnce, type Paced } from './pace.ts'
import type { MirroredRepository, Provenance, ResolvedRepository } from './repository.ts'

export interface ResolvedTag extends Provenance {
  row: TagRow
  /** When finding the tag brought its manifest too. */
  stored?: StoredManifest
}

export interface TagResolver {
  /**
   * What a tag points to now, as far as the rules ask upstream for it.
   * @param patient upstream's word is waited for, however slow it is
   * @throws UpstreamError, RegistryError
   */
  resolve(
    repository: ResolvedRepository,
    tag: Tag,
    wantBytes: boolean,
    patient: boolean,
    paced: Paced,
    signal: AbortSignal,
  ): Promise<ResolvedTag>
  /** Asks upstream for the tag's manifest, whatever is known of it. @throws UpstreamError */
  fetch(repository: ResolvedRepository, tag: Tag, paced: Paced, signal: AbortSignal): Promise<ResolvedTag>
}

export interface TagResolverOptions {
  metadata: Metadata
  local: LocalSource
  keep: KeepManifest
  fetchByDigest(repository: ResolvedRepository, digest: Digest, paced: Paced): Promise<StoredManifest>
  misses: Misses
  lifetime: AbortSignal
  onError(error: unknown): void
  now: () => number
}

export function createTagResolver(options: TagResolverOptions): TagResolver {
  const { metadata, local, misses, now } = options
  const checking = createSingleFlight<ResolvedTag>()

  async function find({ repository, asUpstream }: ResolvedRepository, tag: Tag): Promise<TagRow | undefined> {
    const row = await metadata.tags.find(repository, tag)
    return row?.own && asUpstream ? undefined : row
  }

  /** What was pushed here under that name, be it while upstream was asked. */
  async function ownTag(repository: ResolvedRepository, tag: Tag): Promise<ResolvedTag | undefined> {
    const row = await find(repository, tag)
    return row?.own && { row, source: 'hit' }
  }

  /** `row` as an old answer, where the rules allow it and its manifest is here. */
  async function staleAnswer({ repository, stale }: MirroredRepository, row: TagRow) {
    const stored = await local.manifest(repository, row.digest)
    return (reason: 'slow' | UpstreamErrorKind): ResolvedTag | undefined => {
      if (!stored || !mayServeStale(row, stale, reason, now())) return undefined
      return { row, stored, source: 'stale', ageMs: now() - row.checkedAt, unconfirmed: reason }
    }
  }

  async function resolveExpired(
    repository: MirroredRepository,
    tag: Tag,
    row: TagRow | undefined,
    wantBytes: boolean,
    patient: boolean,
    paced: Paced,
    signal: AbortSignal,
  ): Promise<ResolvedTag> {
    const old = row ? await staleAnswer(repository, row) : () => undefined
    const reason = reasonNotToAsk(repository.upstream.client)
    const unasked = reason && old(reason)
    if (unasked) return unasked
    const key = `${repository.repository}:${tag}`
    const mode = row ? 'revalidate' : wantBytes ? 'get' : 'head'
    const hasOld = old('limited') !== undefined
    const question = { tag, row, wantBytes, hasOld }
    const check = checking(`${key} ${mode}`, () =>
      misses.guard(key, () => checkUpstream(options, repository, question, hasOld ? atOnce : paced)),
    )
    try {
      const unconfirmed = patient ? undefined : old('slow')
      const checked = orAbandon(check, signal)
      return unconfirmed ? ((await within(checked, graceMs)) ?? unconfirmed) : await checked
    } catch (error) {
      const known = error instanceof UpstreamError ? old(error.kind) : undefined
      if (known) return known
      throw error
    }
  }

  return {
    async fetch(repository, tag, paced, signal) {
      const { upstream } = repository
      if (!upstream) throw new RegistryError('MANIFEST_UNKNOWN', { detail: { tag } })
      const key = `${repository.repository}:${tag}`
      const ask = () => misses.guard(key, () => fetchTag(options, { ...repository, upstream }, tag, paced))
      return orAbandon(checking(`${key} get`, ask), signal)
    },
    async resolve(repository, tag, wantBytes, patient, paced, signal) {
      const row = await find(repository, tag)
      const { upstream } = repository
      if (row && (row.own || !upstream)) return { row, source: 'hit' }
      if (row && freshnessOf(row, repository.freshness, now()).kind === 'fresh') {
        return { row, source: 'hit', ageMs: now() - row.checkedAt }
      }
      if (!upstream) throw new RegistryError('MANIFEST_UNKNOWN', { detail: { tag } })
      try {
        const mirrored = { ...repository, upstream }
        const answer = await resolveExpired(mirrored, tag, row, wantBytes, patient, paced, signal)
        return (await ownTag(repository, tag)) ?? answer
      } catch (error) {
        const own = await ownTag(repository, tag)
        if (own) return own
        throw error
      }
    },
  }
}

/** Why an old answer is given at once, where the rules allow one. */
function reasonNotToAsk(client: RegistryClient): 'down' | 'limited' | undefined {
  if (client.isDown()) return 'down'
  // Little is left, and even to ask whether a tag has moved would cost of it.
  return client.isLimited() || (client.isSparing() && !client.countsOnlyGets()) ? 'limited' : undefined
}

/** What upstream is asked about a tag. */
interface Question {
  tag: Tag
  /** What is known of it. */
  row: TagRow | undefined
  wantBytes: boolean
  /** The rules allow what was known before to be answered instead. */
  hasOld: boolean
}

/**
 * Asks upstream: a HEAD, which is free on Docker Hub, and a GET only for a manifest that is not here. A tag that nothing
 * is known of is fetched at once, unless that might cost what a HEAD shows to be here already.
 */
async function checkUpstream(
  options: TagResolverOptions,
  repository: MirroredRepository,
  question: Question,
  paced: Paced,
): Promise<ResolvedTag> {
  const { metadata, onError } = options
  const { tag, row, wantBytes } = question
  const isHeadFirst = row !== undefined || !wantBytes || repository.upstream.client.countsOnlyGets()
  try {
    if (!isHeadFirst) return await fetchTag(options, repository, tag, paced)
    return await headTag(options, repository, question, paced)
  } catch (error) {
    const withheld = error instanceof UpstreamError ? error.kind : undefined
    if (row && (withheld === 'absent' || withheld === 'refused')) {
      metadata.tags.put({ ...row, withheld }).catch(onError)
    }
    throw error
  }
}

async function headTag(
  options: TagResolverOptions,
  repository: MirroredRepository,
  question: Question,
  paced: Paced,
): Promise<ResolvedTag> {
  const { tag, row } = question
  const { metadata, local, lifetime, onError, now } = options
  const { client, repository: name } = repository.upstream
  const { digest, mediaType, size } = await paced(
    () => client.headManifest(name, { kind: 'tag', tag }, lifetime),
    lifetime,
  )
  const stored = digest && (await local.manifest(repository.repository, digest))
  const known = stored ?? (row?.digest === digest ? row : undefined)
  const claimed =
    digest && mediaType !== undefined && size !== undefined ? { digest, mediaType, size } : undefined
  // A tag that moved takes its manifest along, so that it can be answered from here when upstream is gone.
  const state = known ?? (row ? undefined : claimed)
  if (!state) return followTag(options, repository, question, digest, paced)
  const next: TagRow = {
    repository: repository.repository,
    tag,
    digest: state.digest,
    mediaType: state.mediaType,
    size: state.size,
    checkedAt: now(),
  }
  metadata.tags.put(next).catch(onError)
  return { row: next, stored, source: known ? 'revalidated' : 'miss', ageMs: 0 }
}

/** @param digest what the tag now stands for, as upstream claims */
async function followTag(
  options: TagResolverOptions,
  repository: MirroredRepository,
  { tag, hasOld }: Question,
  digest: Digest | undefined,
  paced: Paced,
): Promise<ResolvedTag> {
  const { fetchByDigest, metadata, now, onError } = options
  if (hasOld && repository.upstream.client.isSparing()) {
    throw new UpstreamError('limited', `${tag} has moved, and too few requests are left to follow it`)
  }
  if (!digest) return fetchTag(options, repository, tag, paced)
  try {
    const stored = await fetchByDigest(repository, digest, paced)
    const { mediaType, size } = stored
    const row: TagRow = { repository: repository.repository, tag, digest, mediaType, size, checkedAt: now() }
    metadata.tags.put(row).catch(onError)
    return { row, stored, source: 'fill', ageMs: 0 }
  } catch (error) {
    const isGone = error instanceof UpstreamError && (error.kind === 'absent' || error.kind === 'lying')
    if (!isGone) throw error
    // It has moved again, or the claim was none.
    return fetchTag(options, repository, tag, paced)
  }
}

async function fetchTag(
  options: TagResolverOptions,
  repository: MirroredRepository,
  tag: Tag,
  paced: Paced,
): Promise<ResolvedTag> {
  const { keep, lifetime, now } = options
  const { client, repository: name } = repository.upstream
  const fetched = await paced(() => client.getManifest(name, { kind: 'tag', tag }, lifetime), lifetime)
  const stored = await keep(repository, fetched, tag)
  const { digest, mediaType, size } = stored
  const row: TagRow = { repository: repository.repository, tag, digest, mediaType, size, checkedAt: now() }
  return { row, stored, source: 'fill', ageMs: 0 }
}
