import type { BlobStore } from '../blobs/blob-store.ts'
import type { Holds } from '../flow/holds.ts'
import type { Stored } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'

export interface UnnotedOptions {
  blobs: Pick<BlobStore, 'remove'>
  stored: Pick<Stored, 'held'>
  holds: Pick<Holds<Digest>, 'claim'>
}

/** Takes away those of `digests` whose bytes came, and that nobody came to note as stored: nothing links or counts them. */
export async function removeUnnoted(
  digests: readonly Digest[],
  { blobs, stored, holds }: UnnotedOptions,
): Promise<void> {
  using claim = holds.claim(digests)
  const noted = new Set((await stored.held(claim.keys)).map(({ digest }) => digest))
  for (const digest of claim.keys) if (!noted.has(digest)) await blobs.remove(digest)
}
