import type { Digest } from '../../../src/oci/digest.ts'
import { blobsOf, type Content, contentOf, type Image, type ImageIndex } from '../images.ts'

/** What one repository of the fake registry holds. Blobs are readable only through a repository that has them. */
export interface Repository {
  readonly tags: Map<string, Digest>
  readonly manifests: Map<string, Content>
  readonly blobs: Map<string, Content>
}

export interface Repositories {
  readonly byName: ReadonlyMap<string, Repository>
  /** Made on first use. */
  of(name: string): Repository
  addImage(repository: string, tag: string | undefined, image: Image | ImageIndex): void
  addManifest(repository: string, tagOrDigest: string, bytes: Buffer, mediaType: string): Digest
  /** Without `repository`: from all. */
  removeBlob(digest: string, repository?: string): void
}

export function createRepositories(): Repositories {
  const byName = new Map<string, Repository>()

  function of(name: string): Repository {
    const known = byName.get(name)
    if (known) return known
    const made: Repository = { tags: new Map(), manifests: new Map(), blobs: new Map() }
    byName.set(name, made)
    return made
  }

  return {
    byName,
    of,
    addImage(repository, tag, image) {
      const { tags, manifests, blobs } = of(repository)
      for (const each of 'images' in image ? image.images : [image]) {
        manifests.set(each.manifest.digest, each.manifest)
        for (const blob of blobsOf(each)) blobs.set(blob.digest, blob)
      }
      manifests.set(image.manifest.digest, image.manifest)
      if (tag !== undefined) tags.set(tag, image.manifest.digest)
    },
    addManifest(repository, tagOrDigest, bytes, mediaType) {
      const { tags, manifests } = of(repository)
      const content = contentOf(mediaType, bytes, tagOrDigest.startsWith('sha512:') ? 'sha512' : 'sha256')
      manifests.set(content.digest, content)
      if (!tagOrDigest.includes(':')) tags.set(tagOrDigest, content.digest)
      return content.digest
    },
    removeBlob(digest, repository) {
      for (const [name, { blobs }] of byName)
        if (repository === undefined || repository === name) blobs.delete(digest)
    },
  }
}
