import type { BlobStore } from '../blobs/blob-store.ts'
import type { Holds } from '../flow/holds.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { BlobResolver } from './blobs.ts'
import type { LocalSource } from './local.ts'
import type { ManifestResolver } from './manifests.ts'
import type { ResolvedRepository } from './repository.ts'

/**
 * Brings back what a repository holds and the disk has lost: from memory, else from upstream.
 * @returns whether it is here now
 * @throws RegistryError what the last of its repositories was told
 */
export type Heal = (digest: Digest, signal: AbortSignal) => Promise<boolean>

export interface HealOptions {
  metadata: Metadata
  store: BlobStore
  local: LocalSource
  holds: Pick<Holds<Digest>, 'hold'>
  manifests: ManifestResolver
  blobs: BlobResolver
  /** `undefined` where its project is gone. */
  resolved(repository: RepositoryName): ResolvedRepository | undefined
}

export function createHeal({ metadata, store, local, holds, manifests, blobs, resolved }: HealOptions): Heal {
  async function fetchFor(
    repository: ResolvedRepository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<void> {
    const { upstream } = repository
    if (await metadata.manifests.find(digest))
      await manifests.resolve(repository, { kind: 'digest', digest }, true, signal)
    else if (upstream) await blobs.warm({ ...repository, upstream }, digest, signal)
  }

  /** Small ones are in memory, and so were not asked for. */
  async function keepFromMemory(repository: RepositoryName, digest: Digest, signal: AbortSignal) {
    const found = await local.blob(repository, digest)
    const opened = await found?.open(signal)
    if (opened?.kind === 'bytes') await store.write(digest, opened.bytes)
    if (opened?.kind === 'file') await opened.handle.close()
    if (opened?.kind === 'unproven') opened.growing.release()
  }

  return async (digest, signal) => {
    let failure: { error: unknown } | undefined
    for (const name of await metadata.links.holders(digest)) {
      const repository = resolved(name)
      if (!repository) continue
      try {
        await fetchFor(repository, digest, signal)
        using _hold = await holds.hold(digest)
        if (!(await store.find(digest))) await keepFromMemory(name, digest, signal)
        if (await store.find(digest)) return true
      } catch (error) {
        signal.throwIfAborted()
        failure = { error }
      }
    }
    if (failure) throw failure.error
    return false
  }
}
