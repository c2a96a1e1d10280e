import { orAbandon } from '../flow/abandon.ts'
import { createSingleFlight } from '../flow/single-flight.ts'
import type { Metadata, TagRow } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { Reference, Tag } from '../oci/reference.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import { answerFor } from './errors.ts'
import type { KeepManifest } from './keep.ts'
import type { LocalSource, StoredManifest } from './local.ts'
import { createMisses } from './misses.ts'
import { createPaced, type Paced } from './pace.ts'
import { refuseUnpullable } from './pullable.ts'
import type { Provenance, ResolvedRepository } from './repository.ts'
import { createTagResolver } from './tags.ts'

/** A manifest, or for HEAD perhaps only what is known of it. */
export interface ManifestAnswer extends Provenance {
  digest: Digest
  mediaType: string
  size: number
  /** Always there when it was asked for. */
  bytes?: Buffer
}

export interface ManifestResolver {
  /**
   * One answer for GET and HEAD. With `wantBytes` false nothing is downloaded that is not here.
   * @param options.patient upstream's word on a tag that has expired is waited for, however slow it is
   * @throws RegistryError `MANIFEST_UNKNOWN`, or `UNAVAILABLE` when upstream could not be asked
   */
  resolve(
    repository: ResolvedRepository,
    reference: Reference,
    wantBytes: boolean,
    signal: AbortSignal,
    options?: { patient?: boolean },
  ): Promise<ManifestAnswer>
}

export interface ManifestResolverOptions {
  local: LocalSource
  metadata: Metadata
  keep: KeepManifest
  /** Ends what is asked of upstream on behalf of several clients. */
  lifetime: AbortSignal
  /** What could not be written; the answer was given all the same. */
  onError(error: unknown): void
  now?: () => number
}

export function createManifestResolver(options: ManifestResolverOptions): ManifestResolver {
  const { local, metadata, keep, lifetime, onError, now = Date.now } = options
  const fetching = createSingleFlight<StoredManifest>()
  const misses = createMisses()
  const tags = createTagResolver({ metadata, local, keep, fetchByDigest, misses, lifetime, onError, now })

  /** Upstream counts what it gives: whoever asks, and by whatever name, one digest is fetched once. */
  function fetchByDigest(
    repository: ResolvedRepository,
    digest: Digest,
    paced: Paced,
  ): Promise<StoredManifest> {
    const { upstream } = repository
    if (!upstream) throw new RegistryError('MANIFEST_UNKNOWN', { detail: { digest } })
    const key = `${repository.repository}@${digest}`
    const reference = { kind: 'digest', digest } as const
    const ask = () => upstream.client.getManifest(upstream.repository, reference, lifetime)
    const fetch = async () => {
      // It may have been kept since its absence was noticed.
      const stored = await local.manifest(repository.repository, digest)
      return stored ?? keep(repository, await misses.guard(key, ask))
    }
    // Each has a patience of its own, although they share what is asked.
    return paced(() => fetching(key, fetch), lifetime)
  }

  async function byDigest(
    repository: ResolvedRepository,
    digest: Digest,
    wantBytes: boolean,
    paced: Paced,
    signal: AbortSignal,
  ): Promise<ManifestAnswer> {
    const stored = await local.manifest(repository.repository, digest)
    if (stored) return { ...stored, source: 'hit' }
    const { upstream } = repository
    if (wantBytes || !upstream) {
      return { ...(await orAbandon(fetchByDigest(repository, digest, paced), signal)), source: 'fill' }
    }
    const reference = { kind: 'digest', digest } as const
    const ask = () => upstream.client.headManifest(upstream.repository, reference, signal)
    const head = await misses.guard(`${repository.repository}@${digest}`, () => paced(ask, signal))
    if (head.mediaType === undefined || head.size === undefined)
      return byDigest(repository, digest, true, paced, signal)
    return { digest, mediaType: head.mediaType, size: head.size, source: 'miss' }
  }

  async function byTag(
    repository: ResolvedRepository,
    tag: Tag,
    wantBytes: boolean,
    patient: boolean,
    paced: Paced,
    signal: AbortSignal,
  ): Promise<ManifestAnswer> {
    const found = await tags.resolve(repository, tag, wantBytes, patient, paced, signal)
    const { row, stored, ...provenance } = found
    const held = stored ?? (await local.manifest(repository.repository, row.digest))
    if (held) return { ...held, ...provenance }
    if (!wantBytes) return { ...stateOf(row), ...provenance }
    try {
      const fetched = await orAbandon(fetchByDigest(repository, row.digest, paced), signal)
      return { ...fetched, source: 'fill', ageMs: provenance.ageMs }
    } catch (error) {
      const isGone = error instanceof UpstreamError && (error.kind === 'absent' || error.kind === 'lying')
      if (row.own || !isGone) throw error
    }
    // The tag has moved since a HEAD claimed that digest, or the claim was none.
    const { stored: now, row: moved } = await tags.fetch(repository, tag, paced, signal)
    return now ? { ...now, source: 'fill', ageMs: 0 } : { ...stateOf(moved), source: 'fill', ageMs: 0 }
  }

  return {
    async resolve(repository, reference, wantBytes, signal, { patient = false } = {}) {
      const paced = createPaced()
      try {
        const answer =
          reference.kind === 'digest'
            ? await byDigest(repository, reference.digest, wantBytes, paced, signal)
            : await byTag(repository, reference.tag, wantBytes, patient, paced, signal)
        await refuseUnpullable(local, repository, reference, answer, lifetime)
        return answer
      } catch (error) {
        throw answerFor(error, 'MANIFEST_UNKNOWN')
      }
    },
  }
}

function stateOf({ digest, mediaType, size }: TagRow): Pick<ManifestAnswer, 'digest' | 'mediaType' | 'size'> {
  return { digest, mediaType, size }
}
