import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** A page of what is here. `last`: there is more behind it. */
export interface Page<Item, Last = Item> {
  items: Item[]
  last?: Last
}

export interface ReferrersQuery {
  artifactType?: string
  /** Behind which to go on. */
  last?: Digest
  n?: number
}

/** What this site itself lists: hosted repositories, and the names of all. */
export interface OwnListings {
  tags(repository: RepositoryName, n: number, last: string | undefined): Promise<Page<Tag>>
  /** An image index. */
  referrers(
    repository: RepositoryName,
    subject: Digest,
    query: ReferrersQuery,
  ): Promise<{ bytes: Buffer; last?: Digest }>
  /** Of the repositories that hold something those that `maySee` allows. */
  repositories(
    n: number,
    last: string | undefined,
    maySee: (name: RepositoryName) => boolean,
  ): Promise<Page<RepositoryName>>
}

const pageRows = 500
/** Clients read no more than 4 MiB of a manifest, and take this for one. */
const maxIndexBytes = 3 * 1024 * 1024

export function createOwnListings({
  tags,
  links,
  pushes,
}: Pick<Metadata, 'tags' | 'links' | 'pushes'>): OwnListings {
  return {
    async tags(repository, n, last) {
      const found = await tags.list(repository, last, n + 1)
      return pageOf(found, n)
    },
    async referrers(repository, subject, { artifactType, last, n = Number.POSITIVE_INFINITY }) {
      const shown: string[] = []
      let bytes = 0
      for (let after = last; ; ) {
        const rows = await pushes.referrers(repository, subject, artifactType, after, pageRows)
        for (const { digest, descriptor } of rows) {
          bytes += Buffer.byteLength(descriptor) + 1
          if (shown.length >= n || (shown.length > 0 && bytes > maxIndexBytes)) {
            return { bytes: indexOf(shown), ...(after !== undefined && { last: after }) }
          }
          shown.push(descriptor)
          after = digest
        }
        if (rows.length < pageRows) return { bytes: indexOf(shown) }
      }
    },
    async repositories(n, last, maySee) {
      const found: RepositoryName[] = []
      for (let after = last; ; ) {
        const names = await links.repositories(after, pageRows)
        found.push(...names.filter(maySee))
        if (found.length > n || names.length < pageRows) return pageOf(found, n)
        after = names.at(-1)
      }
    },
  }
}

function pageOf<Item>(found: readonly Item[], n: number): Page<Item> {
  const items = found.slice(0, n)
  const last = found.length > n ? items.at(-1) : undefined
  return { items, ...(last !== undefined && { last }) }
}

function indexOf(descriptors: readonly string[]): Buffer {
  return Buffer.from(
    `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[${descriptors.join(',')}]}`,
  )
}
