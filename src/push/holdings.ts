import type { BlobStore } from '../blobs/blob-store.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Gates } from '../flow/gates.ts'
import type { Holds } from '../flow/holds.ts'
import type { HeldPart, Metadata } from '../metadata/metadata.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { type Descriptor, isNondistributable, type Manifest, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { referrerOf } from '../oci/referrer.ts'
import { createFallbackTags, type FallbackTagsOptions } from './fallback-tags.ts'

/** What a client wants a repository to hold. */
export interface ManifestPush {
  repository: RepositoryName
  bytes: Buffer
  /** As the client calls it. */
  contentType: string | undefined
  /** The digest that it must have; absent: its SHA-256. */
  digest?: Digest
  /** That are to point to it, all or none. */
  tags: readonly Tag[]
  /** What it points to need not be there. */
  sparse: boolean
  /** Brings, as far as it can, what is missing of what it points to. Each part is held from before it is looked for. */
  complete?(manifest: Manifest, hold: (digest: Digest) => Promise<void>): Promise<void>
}

/**
 * Changes what repositories hold. What is resolved is durable. Nothing of it reaches an upstream: what is removed of what
 * came from there comes again when it is asked for, as in a proxy project of Harbor.
 */
export interface Holdings {
  /** @throws RegistryError `MANIFEST_INVALID`, `MANIFEST_BLOB_UNKNOWN`, `DIGEST_INVALID` */
  put(push: ManifestPush): Promise<{ digest: Digest; subject?: Digest }>
  /** The tag alone. @returns whether there was one */
  untag(repository: RepositoryName, tag: Tag): Promise<boolean>
  /** With the tags that point to it; it stays in others. @returns whether it was there, as what it is called */
  remove(repository: RepositoryName, digest: Digest, as: 'manifest' | 'blob'): Promise<boolean>
}

export interface HoldingsOptions {
  blobs: Pick<BlobStore, 'write'>
  metadata: Pick<Metadata, 'links' | 'tags' | 'manifests' | 'pushes' | 'stored'>
  holds: Pick<Holds<Digest>, 'hold'>
  bytesOf: FallbackTagsOptions['bytesOf']
  /** What a manifest points to does not go between the look at it and the commit: who unlinks closes them. */
  gates: Gates<RepositoryName>
}

const mostNamed = 10

export function createHoldings(options: HoldingsOptions): Holdings {
  const { blobs, metadata, holds, gates } = options
  const { links, tags, manifests, pushes } = metadata
  const fallbackTags = createFallbackTags(options)

  /** What of `digests` the repository holds. What came from upstream does not go for room until `owned` ends. */
  async function heldOf(
    repository: RepositoryName,
    digests: readonly Digest[],
    owned: DisposableStack,
  ): Promise<Map<Digest, HeldPart>> {
    const held = await links.among(repository, digests)
    const mirrored = [...held].filter(([, { origin }]) => origin === 'filled')
    if (mirrored.length === 0) return held
    for (const [digest] of mirrored) owned.use(await holds.hold(digest))
    // Who removed it in the meantime was waited for.
    return links.among(repository, digests)
  }

  async function checkChildren(
    { repository, sparse }: ManifestPush,
    manifest: Manifest,
    owned: DisposableStack,
  ): Promise<void> {
    const wanted = childrenOf(manifest).filter((child) => !isNondistributable(child))
    const digests = wanted.map(({ digest }) => digest)
    const held = await heldOf(repository, digests, owned)
    const missing = wanted.filter(({ digest }) => !held.has(digest))
    if (missing.length > 0 && !sparse) {
      const detail = missing.slice(0, mostNamed).map(({ digest }) => ({ digest }))
      throw new RegistryError('MANIFEST_BLOB_UNKNOWN', { detail })
    }
    const wrong = wanted.find(({ digest, size }) => (held.get(digest)?.size ?? size) !== size)
    if (wrong) {
      throw new RegistryError('MANIFEST_INVALID', {
        message: `manifest invalid: ${wrong.digest} has ${held.get(wrong.digest)?.size} bytes, not ${wrong.size}`,
      })
    }
  }

  /** @returns what it belongs to */
  async function keep(push: ManifestPush, manifest: Manifest, digest: Digest): Promise<Digest | undefined> {
    const { repository, bytes, tags: tagged } = push
    using _gate = await gates.share(repository)
    failpoint('manifest-unchecked')
    using owned = new DisposableStack()
    await checkChildren(push, manifest, owned)
    using _hold = await holds.hold(digest)
    await blobs.write(digest, bytes)
    failpoint('manifest-written')
    const { mediaType } = manifest
    const size = bytes.length
    const referrer = referrerOf(manifest, digest, size)
    await pushes.manifest({
      ...{ repository, digest, mediaType, size, children: childrenOf(manifest), tags: tagged },
      ...(referrer && { referrer }),
    })
    failpoint('manifest-committed')
    return referrer?.subject
  }

  /** @returns what it belonged to; `false` where it was not there */
  async function unlink(
    repository: RepositoryName,
    digest: Digest,
    as: 'manifest' | 'blob',
  ): Promise<Digest | undefined | false> {
    using _gate = await gates.close(repository)
    if (!(await links.find(repository, digest))) return false
    if (as === 'manifest' && !(await manifests.find(digest))) return false
    const subject = await pushes.subject(repository, digest)
    await pushes.unlink(repository, digest)
    return subject
  }

  return {
    async put(push) {
      const manifest = parsed(push)
      const digest = digestOf(push.bytes, push.digest && algorithmOf(push.digest))
      if (push.digest !== undefined && push.digest !== digest) {
        throw new RegistryError('DIGEST_INVALID', {
          message: 'provided digest did not match uploaded content',
          detail: { digest: push.digest },
        })
      }
      using held = new DisposableStack()
      // What a mirror has may go for room, until it is pushed.
      if (!push.sparse) await push.complete?.(manifest, async (part) => void held.use(await holds.hold(part)))
      const subject = await keep(push, manifest, digest)
      if (subject === undefined) return { digest }
      await fallbackTags.keepInStep(push.repository, subject)
      return { digest, subject }
    },
    async untag(repository, tag) {
      using _gate = await gates.close(repository)
      if (!(await tags.find(repository, tag))) return false
      await pushes.untag(repository, tag)
      return true
    },
    async remove(repository, digest, as) {
      const subject = await unlink(repository, digest, as)
      if (subject) await fallbackTags.keepInStep(repository, subject, digest)
      return subject !== false
    },
  }
}

/** @throws RegistryError `MANIFEST_INVALID` */
function parsed({ bytes, contentType }: ManifestPush): Manifest {
  const manifest = parseManifest(bytes, contentType, true)
  const said = contentType?.split(';')[0]?.trim()
  // CVE-2021-41190: what one client takes for an image must not be an index to another.
  if (said !== manifest.mediaType) {
    throw new RegistryError('MANIFEST_INVALID', {
      message: `manifest invalid: it is ${manifest.mediaType}, but was sent as ${said?.slice(0, 200) ?? 'nothing'}`,
    })
  }
  return manifest
}

function childrenOf({ manifests, blobs }: Manifest): Descriptor[] {
  return [...manifests, ...blobs]
}
