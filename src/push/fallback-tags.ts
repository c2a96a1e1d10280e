import type { BlobStore } from '../blobs/blob-store.ts'
import type { Gates } from '../flow/gates.ts'
import type { Holds } from '../flow/holds.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { type Descriptor, maxManifestBytes, mediaTypes, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { listingOf, referrersTag } from '../oci/referrer.ts'

/**
 * The listings that clients keep under a tag of their own for registries that make none (distribution-spec, "Referrers Tag
 * Schema"). Where one has written such a tag others read it, and who found the API here does not write to it.
 */
export interface FallbackTags {
  /**
   * What refers to `subject` has changed: the listing under its tag, if there is one, says so too. Durable.
   * @param gone what referred to it and was deleted; others that are not here may be upstream's
   */
  keepInStep(repository: RepositoryName, subject: Digest, gone?: Digest): Promise<void>
}

export interface FallbackTagsOptions {
  blobs: Pick<BlobStore, 'write'>
  metadata: Pick<Metadata, 'tags' | 'pushes' | 'stored'>
  holds: Pick<Holds<Digest>, 'hold'>
  /** Closed while a listing is replaced. */
  gates: Pick<Gates<RepositoryName>, 'close'>
  /** Of a manifest that the repository holds. */
  bytesOf(repository: RepositoryName, digest: Digest): Promise<Buffer | undefined>
}

interface Listing {
  digest: Digest
  descriptors: Descriptor[]
}

const pageRows = 500

export function createFallbackTags(options: FallbackTagsOptions): FallbackTags {
  const { blobs, holds, gates, bytesOf } = options
  const { tags, pushes, stored } = options.metadata

  /** `undefined`: there is no tag, or it is no listing, or one that upstream keeps. */
  async function listingUnder(repository: RepositoryName, tag: Tag): Promise<Listing | undefined> {
    const row = await tags.find(repository, tag)
    if (!row?.own || row.mediaType !== mediaTypes.ociIndex) return undefined
    const bytes = await bytesOf(repository, row.digest)
    if (!bytes) return undefined
    parseManifest(bytes, row.mediaType)
    // As the client wrote them, with all their fields.
    return { digest: row.digest, descriptors: JSON.parse(bytes.toString()).manifests ?? [] }
  }

  /** As many as a listing can hold, and the first that it cannot. */
  async function referrersOf(repository: RepositoryName, subject: Digest): Promise<Descriptor[]> {
    const all: Descriptor[] = []
    let bytes = 0
    for (;;) {
      const rows = await pushes.referrers(repository, subject, undefined, all.at(-1)?.digest, pageRows)
      for (const { descriptor } of rows) {
        all.push(JSON.parse(descriptor))
        bytes += descriptor.length
        if (bytes > maxManifestBytes) return all
      }
      if (rows.length < pageRows) return all
    }
  }

  async function replace(
    repository: RepositoryName,
    tag: Tag,
    old: Digest,
    descriptors: Descriptor[],
  ): Promise<void> {
    const bytes = listingOf(descriptors)
    // No client could read it.
    if (bytes.length > maxManifestBytes) return
    const [digest, size, mediaType] = [digestOf(bytes), bytes.length, mediaTypes.ociIndex]
    using _hold = await holds.hold(digest)
    await blobs.write(digest, bytes)
    await pushes.manifest({ repository, digest, mediaType, size, children: descriptors, tags: [tag] })
    const needs = (await stored.needs([old])).get(old)
    if (needs && needs.tags + needs.parents === 0) await pushes.unlink(repository, old)
  }

  return {
    async keepInStep(repository, subject, gone) {
      const tag = referrersTag(subject)
      if (!(await tags.find(repository, tag))) return
      using _gate = await gates.close(repository)
      const listing = await listingUnder(repository, tag)
      if (!listing) return
      const { digest: old, descriptors: written } = listing
      const left = written.filter(({ digest }) => digest !== gone)
      const known = new Set(left.map(({ digest }) => digest))
      const missing = (await referrersOf(repository, subject)).filter(({ digest }) => !known.has(digest))
      if (left.length === written.length && missing.length === 0) return
      await replace(repository, tag, old, [...left, ...missing])
    },
  }
}
