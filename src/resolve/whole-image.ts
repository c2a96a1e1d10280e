import type { Slots } from '../flow/slots.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { type Descriptor, mediaTypes, parseManifest } from '../oci/manifest.ts'
import { formatPlatform, isForPlatform, type Platform } from '../oci/platform.ts'
import type { Reference } from '../oci/reference.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import type { BlobResolver } from './blobs.ts'
import { reasonOf, unavailable } from './errors.ts'
import type { Listings } from './listings.ts'
import type { LocalSource } from './local.ts'
import type { ManifestAnswer, ManifestResolver } from './manifests.ts'
import { mayAsk } from './prefetch.ts'
import type { MirroredRepository } from './repository.ts'

/** Fetches images whole, before anybody asks for them: index, manifests, configs, layers, and what refers to them. */
export interface WholeImages {
  /** @throws RegistryError why not even its manifest could be had, and the signal's reason before that */
  fetch(request: WholeImageRequest, signal: AbortSignal): Promise<WholeImage>
}

export interface WholeImageRequest {
  repository: MirroredRepository
  reference: Reference
  /** Of an index; none: all there are. */
  platforms: readonly Platform[]
  /** Of the blobs that are fetched at a time. */
  slots: Slots
  /** The manifest that the image begins with is here. */
  onFound(digest: Digest): void
  /** How far it is, whenever somebody wants to know. */
  watch(progress: () => Progress): void
}

export interface Progress {
  parts: number
  /** As far as is known. */
  ofParts: number
  bytes: number
  ofBytes: number
}

export interface WholeImage {
  digest: Digest
  /** Upstream did not confirm that it is still this one. */
  unconfirmed?: string
  missing: MissingPart[]
}

export interface MissingPart {
  digest: Digest
  kind: 'manifest' | 'blob' | 'referrers'
  reason: string
  /** It may be had later. */
  isPassing: boolean
}

export interface WholeImagesOptions {
  manifests: ManifestResolver
  blobs: BlobResolver
  listings: Listings
  local: LocalSource
}

interface Part {
  kind: 'manifest' | 'blob'
  size: number
  isDone: boolean
  arrivedBytes(): number
}

export function createWholeImages(options: WholeImagesOptions): WholeImages {
  return {
    async fetch(request, signal) {
      const { repository, reference } = request
      const work = createWork(options, request, signal)
      request.watch(work.progress)
      const root = await work.root()
      request.onFound(root.digest)
      await work.all(root)
      const missing = await work.missing()
      const { unconfirmed } = root
      const isTag = reference.kind === 'tag' && repository.upstream !== undefined
      return { digest: root.digest, missing, ...(isTag && unconfirmed !== undefined && { unconfirmed }) }
    },
  }
}

function createWork(
  { manifests, blobs, listings, local }: WholeImagesOptions,
  { repository, reference, platforms, slots }: WholeImageRequest,
  signal: AbortSignal,
) {
  const { client } = repository.upstream
  const parts = new Map<Digest, Part>()
  const fetching: Promise<void>[] = []
  const failures = new Map<Digest, { kind: MissingPart['kind']; error: unknown }>()

  /** @returns `undefined` where it is seen to already */
  function begin(
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    kind: Part['kind'],
  ): Part | undefined {
    if (parts.has(digest)) return undefined
    const part: Part = { kind, size, isDone: false, arrivedBytes: () => 0 }
    parts.set(digest, part)
    return part
  }

  async function manifest(digest: Digest): Promise<ManifestAnswer> {
    const kept = await local.manifest(repository.repository, digest)
    if (kept) return { ...kept, source: 'hit' }
    if (!mayAsk(client)) throw unavailable('its registry is not asked for more now')
    return manifests.resolve(repository, { kind: 'digest', digest }, true, signal)
  }

  /** What goes wrong with one part keeps no other from coming. */
  async function attempt(
    digest: Digest,
    kind: MissingPart['kind'],
    work: () => Promise<void>,
  ): Promise<void> {
    try {
      await work()
    } catch (error) {
      failures.set(digest, { kind, error })
    }
  }

  async function child(descriptor: Descriptor, isImage: boolean): Promise<void> {
    const part = begin(descriptor, 'manifest')
    if (!part) return
    await attempt(descriptor.digest, 'manifest', async () => {
      const answer = await manifest(descriptor.digest)
      part.isDone = true
      await below(answer, [])
      // Attestations are listed beside the images, and nothing refers to them.
      if (isImage) await referrers(descriptor.digest)
    })
  }

  async function blob(descriptor: Descriptor): Promise<void> {
    const part = begin(descriptor, 'blob')
    if (!part) return
    await attempt(descriptor.digest, 'blob', async () => {
      const leave = await slots.acquire(signal)
      try {
        const watch = (arrivedBytes: Part['arrivedBytes']) => {
          part.arrivedBytes = arrivedBytes
        }
        await blobs.bring(repository, descriptor.digest, watch, signal)
        part.isDone = true
      } finally {
        leave()
      }
    })
  }

  /** One manifest after the other, which upstream counts, and the blobs beside them. */
  async function below({ digest, bytes, mediaType }: ManifestAnswer, wanted: readonly Platform[]) {
    if (!bytes) throw new Error(`${digest} came without its bytes`)
    const { manifests: children, blobs: layers } = parseManifest(bytes, mediaType)
    fetching.push(...layers.map(blob))
    for (const each of chosen(children, wanted)) await child(each, each.platform?.os !== 'unknown')
  }

  async function referrers(digest: Digest): Promise<void> {
    await attempt(digest, 'referrers', async () => {
      const listing = await listings.referrers(repository, digest, {}, signal).catch(unlessNone)
      if (!listing) return
      const { manifests: all } = parseManifest(listing.bytes, mediaTypes.ociIndex)
      for (const each of all) await child(each, false)
    })
  }

  /** What is left of a part that failed may have come with another image meanwhile, and what came may have gone. */
  async function isHere(digest: Digest, { kind }: Part): Promise<boolean> {
    const found =
      kind === 'manifest'
        ? await local.manifest(repository.repository, digest)
        : await local.blob(repository.repository, digest)
    return found !== undefined
  }

  return {
    progress(): Progress {
      const sums = { parts: 0, ofParts: parts.size, bytes: 0, ofBytes: 0 }
      for (const { size, isDone, arrivedBytes } of parts.values()) {
        sums.ofBytes += size
        sums.bytes += isDone ? size : Math.min(size, arrivedBytes())
        if (isDone) sums.parts += 1
      }
      return sums
    },
    async root(): Promise<ManifestAnswer> {
      const { digest = undefined } = reference.kind === 'digest' ? reference : {}
      const answer =
        digest === undefined
          ? await manifests.resolve(repository, reference, true, signal, { patient: true })
          : await manifest(digest)
      const part = begin(answer, 'manifest')
      if (part) part.isDone = true
      return answer
    },
    async all(root: ManifestAnswer): Promise<void> {
      try {
        await below(root, platforms)
        await referrers(root.digest)
      } finally {
        await Promise.all(fetching)
      }
    },
    async missing(): Promise<MissingPart[]> {
      const missing: MissingPart[] = []
      for (const [digest, part] of parts) {
        if (await isHere(digest, part)) continue
        part.isDone = false
        missing.push(missingPart(digest, part.kind, failures.get(digest)?.error))
      }
      for (const [digest, { kind, error }] of failures)
        if (kind === 'referrers') missing.push(missingPart(digest, kind, error))
      return missing
    },
  }
}

/** @throws RegistryError where the image is not for one of them */
function chosen(images: readonly Descriptor[], wanted: readonly Platform[]): readonly Descriptor[] {
  if (wanted.length === 0 || images.length === 0) return images
  const isFor = ({ platform }: Descriptor, each: Platform) =>
    platform !== undefined && isForPlatform(platform, each)
  const lacking = wanted.find((each) => !images.some((image) => isFor(image, each)))
  if (!lacking) return images.filter((image) => wanted.some((each) => isFor(image, each)))
  const all = images.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : []))
  throw new RegistryError('MANIFEST_UNKNOWN', {
    message: `it is not for ${formatPlatform(lacking)}, but for ${all.join(', ')}`,
  })
}

/** A mirror whose upstream keeps no referrers, or says nothing sensible of them, has none. */
function unlessNone(error: unknown): undefined {
  const cause = error instanceof Error ? error.cause : undefined
  const isPassing = cause instanceof UpstreamError && (cause.kind === 'down' || cause.kind === 'limited')
  if (isPassing || !(error instanceof RegistryError)) throw error
}

function missingPart(digest: Digest, kind: MissingPart['kind'], error: unknown): MissingPart {
  const reason = error === undefined ? 'it was given up again: the cache is full' : reasonOf(error)
  return {
    ...{ digest, kind, reason },
    isPassing: error instanceof RegistryError && error.code === 'UNAVAILABLE',
  }
}
