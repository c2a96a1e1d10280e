import { LRUCache } from 'lru-cache'
import {
  BlobLostError,
  type BlobStore,
  type FoundBlob,
  type OpenBlob,
  unlessLost,
} from '../blobs/blob-store.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { type Descriptor, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Blobs up to this size are kept in memory: configs, and the layers that are hardly more than an entry. */
const smallBytes = 64 * 1024

const wholeForMs = 60_000

export interface StoredManifest {
  digest: Digest
  mediaType: string
  size: number
  bytes: Buffer
}

/** What upstream would have to give for an image to be pulled: something to ask it for. */
export interface Missing {
  kind: 'blob' | 'manifest'
  digest: Digest
}

/** What this node has itself. Only what a repository links is seen through it. */
export interface LocalSource {
  manifest(repository: RepositoryName, digest: Digest): Promise<StoredManifest | undefined>
  blob(repository: RepositoryName, digest: Digest): Promise<FoundBlob | undefined>
  /** Bytes that are here whoever links them: for deciding, never for serving. */
  has(digest: Digest): Promise<boolean>
  /** A config or layer of an image that is not here; of an index, a child of which nothing is, unless one is whole. */
  missing(manifest: StoredManifest): Promise<Missing | undefined>
  /** The repository has it by a push or the like: it is nobody else's to give. */
  isKept(repository: RepositoryName, digest: Digest): Promise<boolean>
  /** An index of the repository names it. */
  isChild(repository: RepositoryName, digest: Digest): Promise<boolean>
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

  /** What has rotten on disk is absent, and fetched again. */
  async function provenBytesOf(digest: Digest): Promise<Buffer | undefined> {
    const kept = memory.get(digest)
    if (kept) return kept
    const found = await blobs.find(digest)
    const bytes = found && (await unlessLost(readWhole(found)))
    if (bytes) memory.set(digest, bytes)
    return bytes
  }

  async function openSmall(found: FoundBlob): Promise<OpenBlob> {
    const bytes = memory.get(found.digest) ?? (await readWhole(found))
    memory.set(found.digest, bytes)
    return { kind: 'bytes', bytes, size: bytes.length }
  }

  /** Blobs do not come and go: what was whole a moment ago is not looked at again. */
  const whole = new LRUCache<Digest, true>({ max: 10_000, ttl: wholeForMs })

  async function stored(digest: Digest): Promise<StoredManifest | undefined> {
    const known = await metadata.manifests.find(digest)
    const bytes = known && (await provenBytesOf(digest))
    return known && bytes && { digest, mediaType: known.mediaType, size: bytes.length, bytes }
  }

  async function missing({ digest, bytes, mediaType }: StoredManifest): Promise<Missing | undefined> {
    if (whole.has(digest)) return undefined
    const { kind, blobs: wanted, manifests } = parseManifest(bytes, mediaType)
    const lacking = kind === 'image' ? await missingBlob(wanted) : await missingChild(digest, manifests)
    if (!lacking) whole.set(digest, true)
    return lacking
  }

  async function missingBlob(wanted: readonly Descriptor[]): Promise<Missing | undefined> {
    const found = await Promise.all(wanted.map(({ digest }) => blobs.find(digest)))
    const first = wanted.find((_, index) => found[index] === undefined)
    return first && { kind: 'blob', digest: first.digest }
  }

  /** One platform that can be pulled is reason enough to show an index. */
  async function missingChild(index: Digest, children: readonly Descriptor[]): Promise<Missing | undefined> {
    for (const { digest } of children) {
      const child = await stored(digest)
      if (child && !(await missing(child))) return undefined
    }
    return children.length > 0 ? { kind: 'manifest', digest: index } : undefined
  }

  /** A file that was cut behind our back is no blob any more. */
  async function hasStatedSize(repository: RepositoryName, { digest, size }: FoundBlob): Promise<boolean> {
    const stated = await metadata.manifests.statedSize(repository, digest)
    return stated === undefined || stated === size
  }

  return {
    async manifest(repository, digest) {
      return (await metadata.links.find(repository, digest)) && stored(digest)
    },
    async blob(repository, digest) {
      if (!(await metadata.links.find(repository, digest))) return undefined
      const kept = memory.get(digest)
      if (kept) return inMemory(digest, kept)
      const found = await blobs.find(digest)
      if (!found || !(await hasStatedSize(repository, found))) return undefined
      if (found.size > smallBytes) return found
      return { digest, size: found.size, open: () => openSmall(found) }
    },
    async has(digest) {
      return memory.has(digest) || (await blobs.find(digest)) !== undefined
    },
    missing,
    async isKept(repository, digest) {
      const link = await metadata.links.find(repository, digest)
      return link !== undefined && link.origin !== 'filled'
    },
    async isChild(repository, digest) {
      return (await metadata.manifests.statedSize(repository, digest)) !== undefined
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
  if (bytesRead !== opened.size || digestOf(bytes, algorithmOf(found.digest)) !== found.digest)
    throw new BlobLostError(`${found.digest} was written to while it was read`)
  return bytes
}
