import { createSlots } from '../flow/slots.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { type Descriptor, isNondistributable, type Manifest, parseManifest } from '../oci/manifest.ts'
import type { BlobResolver } from './blobs.ts'
import type { ManifestResolver } from './manifests.ts'
import type { MirroredRepository } from './repository.ts'

/**
 * Fetches from upstream what is missing here of all that a manifest points to, down to the last layer: who gives a new name
 * to what upstream has sends nothing of it. What upstream has not got either stays missing.
 * @param hold is told of each part before it is looked for
 * @throws RegistryError `UNAVAILABLE` when upstream could not be asked
 */
export type Complete = (
  repository: MirroredRepository,
  manifest: Pick<Manifest, 'manifests' | 'blobs'>,
  hold: (digest: Digest) => Promise<void>,
  signal: AbortSignal,
) => Promise<void>

const blobsAtATime = 4
/** Where upstream has not got so many, it is not asked for the rest. */
const mostLacking = 10

export function createComplete(manifests: ManifestResolver, blobs: BlobResolver): Complete {
  return async (repository, manifest, hold, signal) => {
    const slots = createSlots(blobsAtATime)
    const failed = new AbortController()
    const ends = AbortSignal.any([signal, failed.signal])
    const seen = new Set<Digest>()
    const fetching: Promise<void>[] = []
    let lacking = 0

    async function unlessLacking<Value>(work: () => Promise<Value>): Promise<Value | undefined> {
      if (lacking >= mostLacking) return undefined
      try {
        return await work()
      } catch (error) {
        if (!isUnknown(error)) throw error
        lacking += 1
        return undefined
      }
    }
    function isNew(part: Descriptor): boolean {
      return !isNondistributable(part) && !seen.has(part.digest) && seen.add(part.digest) !== undefined
    }
    async function blob({ digest }: Descriptor): Promise<void> {
      const leave = await slots.acquire(ends)
      try {
        await hold(digest)
        await unlessLacking(() => blobs.bring(repository, digest, () => {}, ends))
      } finally {
        leave()
      }
    }
    /** One manifest after the other, which upstream counts, and the blobs beside them. */
    async function below({ manifests: children, blobs: wanted }: typeof manifest): Promise<void> {
      for (const part of wanted.filter(isNew)) {
        const coming = blob(part)
        coming.catch((error) => failed.abort(error))
        fetching.push(coming)
      }
      for (const { digest } of children.filter(isNew)) {
        ends.throwIfAborted()
        await hold(digest)
        const reference = { kind: 'digest', digest } as const
        const found = await unlessLacking(() => manifests.resolve(repository, reference, true, ends))
        if (found?.bytes) await below(parseManifest(found.bytes, found.mediaType))
      }
    }
    try {
      await below(manifest)
      await Promise.all(fetching)
    } finally {
      failed.abort()
      await Promise.allSettled(fetching)
    }
  }
}

function isUnknown(error: unknown): boolean {
  const code = error instanceof RegistryError ? error.code : undefined
  return code === 'BLOB_UNKNOWN' || code === 'MANIFEST_UNKNOWN'
}
