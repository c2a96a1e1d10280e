import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { UpstreamErrorKind } from '../upstream/registry-client.ts'
import { cutPage, type Page } from './merge.ts'
import type { Provenance } from './repository.ts'

export interface ReferrersQuery {
  artifactType?: string
  /** Behind which to go on. */
  last?: Digest
  n?: number
}

/** A manifest that refers to another one; its descriptor in JSON. */
export interface ListedReferrer {
  digest: Digest
  descriptor: string
}

/** What this site itself lists: what is pushed, and the names of all repositories. */
export interface OwnListings {
  /** @param which only those that were pushed; absent: also what is known of an upstream's */
  tags(repository: RepositoryName, n: number, last: string | undefined, which?: 'own'): Promise<Page<string>>
  referrers(
    repository: RepositoryName,
    subject: Digest,
    query: ReferrersQuery,
  ): Promise<Page<ListedReferrer, Digest>>
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
    async tags(repository, n, last, which) {
      const found: string[] = await tags.list(repository, last, n + 1, which)
      return pageOf(found, n)
    },
    async referrers(repository, subject, { artifactType, last, n }) {
      const found: ListedReferrer[] = []
      for (let after = last; ; after = found.at(-1)?.digest) {
        const rows = await pushes.referrers(repository, subject, artifactType, after, pageRows)
        found.push(...rows)
        const page = cutReferrers({ items: found }, n)
        if (page.items.length < found.length || rows.length < pageRows) return page
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

function pageOf<Item extends string>(items: Item[], n: number): Page<Item> {
  return cutPage({ items }, n, (item) => item)
}

/** The first `n` of them, and not more than one answer can hold. */
export function cutReferrers(
  page: Page<ListedReferrer, Digest>,
  n = Number.POSITIVE_INFINITY,
): Page<ListedReferrer, Digest> {
  let bytes = 0
  const tooMany = page.items.findIndex(({ descriptor }, at) => {
    bytes += Buffer.byteLength(descriptor) + 1
    return at >= n || (at > 0 && bytes > maxIndexBytes)
  })
  return tooMany === -1 ? page : cutPage(page, tooMany, ({ digest }) => digest)
}

/** What an answer says of itself to which upstream has added nothing. */
export function provenanceWithout(kind: UpstreamErrorKind): Provenance {
  const hasNone = kind === 'absent' || kind === 'refused'
  return hasNone ? { source: 'hit' } : { source: 'stale', unconfirmed: kind }
}

/** An image index. */
export function indexOf(referrers: readonly ListedReferrer[]): Buffer {
  const descriptors = referrers.map(({ descriptor }) => descriptor)
  return Buffer.from(
    `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[${descriptors.join(',')}]}`,
  )
}
