import type { BlobStore } from '../blobs/blob-store.ts'
import type { Holds } from '../flow/holds.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Gives a repository what another one has. */
export interface Mounts {
  /** @param from which the caller may read, as its word is taken here. @returns whether it is mounted now, durably */
  mount(repository: RepositoryName, digest: Digest, from: RepositoryName): Promise<boolean>
  /** From any repository that `mayRead` allows. */
  mountAny(
    repository: RepositoryName,
    digest: Digest,
    mayRead: (from: RepositoryName) => boolean,
  ): Promise<boolean>
}

export interface MountsOptions {
  blobs: Pick<BlobStore, 'find'>
  metadata: Pick<Metadata, 'links' | 'pushes'>
  holds: Pick<Holds<Digest>, 'hold'>
}

export function createMounts({ blobs, metadata: { links, pushes }, holds }: MountsOptions): Mounts {
  async function mount(repository: RepositoryName, digest: Digest, from: RepositoryName): Promise<boolean> {
    using _hold = await holds.hold(digest)
    if (!(await links.find(from, digest)) || !(await blobs.find(digest))) return false
    await pushes.mount(repository, digest)
    return true
  }
  return {
    mount,
    async mountAny(repository, digest, mayRead) {
      const from = (await links.holders(digest)).find(mayRead)
      return from !== undefined && mount(repository, digest, from)
    },
  }
}
