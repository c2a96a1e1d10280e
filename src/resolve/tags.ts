import { orAbandon } from '../flow/abandon.ts'
import { createSingleFlight } from '../flow/single-flight.ts'
import type { Metadata, TagRow } from '../metadata/metadata.ts'
import { RegistryError } from '../oci/error.ts'
import type { Tag } from '../oci/reference.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/registry-client.ts'
import { freshnessOf, mayServeStale } from './freshness.ts'
import { graceMs, within } from './grace.ts'
import type { KeepManifest } from './keep.ts'
import type { LocalSource, StoredManifest } from './local.ts'
import type { Misses } from './misses.ts'
import { paced } from './pace.ts'
import type { MirroredRepository, Provenance, ResolvedRepository } from './repository.ts'

export interface ResolvedTag extends Provenance {
  row: TagRow
  /** When finding the tag brought its manifest too. */
  stored?: StoredManifest
}

export interface TagResolver {
  /** What a tag points to now, as far as the rules ask upstream for it. @throws UpstreamError, RegistryError */
  resolve(
    repository: ResolvedRepository,
    tag: Tag,
    wantBytes: boolean,
    signal: AbortSignal,
  ): Promise<ResolvedTag>
  /** Asks upstream for the tag's manifest, whatever is known of it. @throws UpstreamError */
  fetch(repository: ResolvedRepository, tag: Tag, signal: AbortSignal): Promise<ResolvedTag>
}

export interface TagResolverOptions {
  metadata: Metadata
  local: LocalSource
  keep: KeepManifest
  misses: Misses
  lifetime: AbortSignal
  onError(error: unknown): void
  now: () => number
}

export function createTagResolver(options: TagResolverOptions): TagResolver {
  const { metadata, local, misses, now } = options
  const checking = createSingleFlight<ResolvedTag>()

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
    signal: AbortSignal,
  ): Promise<ResolvedTag> {
    const old = row ? await staleAnswer(repository, row) : () => undefined
    const { client } = repository.upstream
    if (client.isDown()) {
      const known = old(client.isLimited() ? 'limited' : 'down')
      if (known) return known
    }
    const key = `${repository.repository}:${tag}`
    const mode = row ? 'revalidate' : wantBytes ? 'get' : 'head'
    const check = checking(`${key} ${mode}`, () =>
      misses.guard(key, () => checkUpstream(options, repository, tag, row, wantBytes)),
    )
    try {
      const unconfirmed = old('slow')
      const checked = orAbandon(check, signal)
      return unconfirmed ? ((await within(checked, graceMs)) ?? unconfirmed) : await checked
    } catch (error) {
      const known = error instanceof UpstreamError ? old(error.kind) : undefined
      if (known) return known
      throw error
    }
  }

  return {
    async fetch(repository, tag, signal) {
      const { upstream } = repository
      if (!upstream) throw new RegistryError('MANIFEST_UNKNOWN', { detail: { tag } })
      const key = `${repository.repository}:${tag}`
      const ask = () => misses.guard(key, () => fetchTag(options, { ...repository, upstream }, tag))
      return orAbandon(checking(`${key} get`, ask), signal)
    },
    async resolve(repository, tag, wantBytes, signal) {
      const row = await metadata.tags.find(repository.repository, tag)
      const { upstream } = repository
      if (row && (!upstream || freshnessOf(row, repository.freshness, now()).kind === 'fresh')) {
        return { row, source: 'hit', ...(upstream && { ageMs: now() - row.checkedAt }) }
      }
      if (!upstream) throw new RegistryError('MANIFEST_UNKNOWN', { detail: { tag } })
      return resolveExpired({ ...repository, upstream }, tag, row, wantBytes, signal)
    },
  }
}

/** Asks upstream: a HEAD, which is free on Docker Hub, and a GET only for a manifest that is not here. */
async function checkUpstream(
  options: TagResolverOptions,
  repository: MirroredRepository,
  tag: Tag,
  row: TagRow | undefined,
  wantBytes: boolean,
): Promise<ResolvedTag> {
  const { metadata, onError } = options
  try {
    if (!row && wantBytes) return await fetchTag(options, repository, tag)
    return await headTag(options, repository, tag, row)
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
  tag: Tag,
  row: TagRow | undefined,
): Promise<ResolvedTag> {
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
  if (!state) return fetchTag(options, repository, tag)
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

async function fetchTag(
  options: TagResolverOptions,
  repository: MirroredRepository,
  tag: Tag,
): Promise<ResolvedTag> {
  const { keep, lifetime, now } = options
  const { client, repository: name } = repository.upstream
  const fetched = await paced(() => client.getManifest(name, { kind: 'tag', tag }, lifetime), lifetime)
  const stored = await keep(repository, fetched, tag)
  const { digest, mediaType, size } = stored
  const row: TagRow = { repository: repository.repository, tag, digest, mediaType, size, checkedAt: now() }
  return { row, stored, source: 'fill', ageMs: 0 }
}
