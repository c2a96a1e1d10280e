import { LRUCache } from 'lru-cache'
import type { BlobStore, FoundBlob, OpenBlob } from '../blobs/blob-store.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Blobs up to this size are kept in memory: configs, and the layers that are hardly more than an entry. */
const smallBytes = 64 * 1024

export interface StoredManifest {
  digest: Digest
  mediaType: string
  size: number
  bytes: Buffer
}

/** What this node has itself. Only what a repository links is seen through it. */
export interface LocalSource {
  manifest(repository: RepositoryName, digest: Digest): Promise<StoredManifest | undefined>
  blob(repository: RepositoryName, digest: Digest): Promise<FoundBlob | undefined>
  /** Bytes that are here whoever links them: for deciding, never for serving. */
  has(digest: Digest): Promise<boolean>
  /** Whether every config and layer of an image manifest is here. */
  isWhole(manifest: StoredManifest): Promise<boolean>
}

export interface LocalSourceOptions {
  metadata: Metadata
  blobs: BlobStore
  memoryBytes: number
}

export function createLocalSource({ metadata, blobs, memoryBytes }: LocalSourceOptions): LocalSource {
  const memory = new LRUCache<Digest, Buffer>({
    maxSize: Math.max(1, memoryBytes),
    sizeCalculation: (bytes) => bytes.length + 512,
  })

  async function bytesOf(digest: Digest): Promise<Buffer | undefined> {
    const kept = memory.get(digest)
    if (kept) return kept
    const found = await blobs.find(digest)
    if (!found) return undefined
    const bytes = await readWhole(found)
    memory.set(digest, bytes)
    return bytes
  }

  return {
    async manifest(repository, digest) {
      const [link, known] = await Promise.all([
        metadata.links.find(repository, digest),
        metadata.manifests.find(digest),
      ])
      const bytes = link && known ? await bytesOf(digest) : undefined
      return known && bytes && { digest, mediaType: known.mediaType, size: bytes.length, bytes }
    },
    async blob(repository, digest) {
      if (!(await metadata.links.find(repository, digest))) return undefined
      const kept = memory.get(digest)
      if (kept) return inMemory(digest, kept)
      const found = await blobs.find(digest)
      if (!found || found.size > smallBytes) return found
      const bytes = await bytesOf(digest)
      return bytes && inMemory(digest, bytes)
    },
    async has(digest) {
      return memory.has(digest) || (await blobs.find(digest)) !== undefined
    },
    async isWhole({ bytes, mediaType }) {
      const manifest: Manifest = parseManifest(bytes, mediaType)
      const found = await Promise.all(manifest.blobs.map((blob) => blobs.find(blob.digest)))
      return found.every((blob) => blob !== undefined)
    },
  }
}

function inMemory(digest: Digest, bytes: Buffer): FoundBlob {
  const open: OpenBlob = { kind: 'bytes', bytes, size: bytes.length }
  return { digest, size: bytes.length, open: async () => open }
}

async function readWhole(found: FoundBlob): Promise<Buffer> {
  const opened = await found.open(AbortSignal.timeout(30_000))
  if (opened.kind !== 'file') throw new Error(`a stored blob opened as ${opened.kind}`)
  await using handle = opened.handle
  const bytes = Buffer.allocUnsafe(opened.size)
  const { bytesRead } = await handle.read(bytes, 0, opened.size, 0)
  if (bytesRead !== opened.size)
    throw new Error(`${found.digest} on disk is shorter than ${opened.size} bytes`)
  return bytes
}
