import type { BlobStore } from '../blobs/blob-store.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Holds } from '../flow/holds.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { parseManifest } from '../oci/manifest.ts'
import type { Tag } from '../oci/reference.ts'
import type { FetchedManifest } from '../upstream/registry-client.ts'
import type { StoredManifest } from './local.ts'
import type { ResolvedRepository } from './repository.ts'

/** Makes a verified manifest from upstream part of this site: its bytes first, then what points to them. */
export type KeepManifest = (
  repository: Pick<ResolvedRepository, 'repository'>,
  fetched: FetchedManifest,
  tag?: Tag,
) => Promise<StoredManifest>

export interface KeepOptions {
  blobs: BlobStore
  metadata: Metadata
  holds: Pick<Holds<Digest>, 'hold'>
  /** What could not be kept: a full disk is no reason to refuse what is here and proven. */
  onError(error: unknown): void
  now?: () => number
}

export function createKeep({ blobs, metadata, holds, onError, now = Date.now }: KeepOptions): KeepManifest {
  return async ({ repository }, { digest, mediaType, bytes }, tag) => {
    const { manifests, blobs: layers } = parseManifest(bytes, mediaType)
    const manifest = { digest, mediaType, size: bytes.length }
    try {
      using _hold = await holds.hold(digest)
      failpoint('kept-unwritten')
      await blobs.write(digest, bytes)
      failpoint('kept-written')
      await metadata.recordManifest({
        repository,
        ...manifest,
        origin: 'filled',
        children: [...manifests, ...layers],
        ...(tag !== undefined && { tag: { tag, checkedAt: now() } }),
      })
      failpoint('kept-recorded')
    } catch (error) {
      onError(error)
    }
    return { ...manifest, bytes }
  }
}
