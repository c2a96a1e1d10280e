import type { LinkKey, Metadata, TaggedDigest } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** Which images are to be given up. */
export interface GiveUpTarget {
  /** As it was asked for. */
  text: string
  repositories(repository: RepositoryName): boolean
  /** Absent: all there is of the repositories. */
  images?: { kind: 'tags'; matches(tag: Tag): boolean } | { kind: 'digest'; digest: Digest }
}

const pageRows = 1000

/** The tags that are meant; listings of referrers, which are kept as tags, only with the whole repository. */
export async function* rootsOf({ tags }: Metadata, target: GiveUpTarget): AsyncGenerator<TaggedDigest> {
  for (let page = await tags.all(undefined, pageRows); page.length > 0; ) {
    for (const row of page) if (isMeant(target, row)) yield row
    page = await tags.all(page.at(-1), pageRows)
  }
}

function isMeant({ repositories, images }: GiveUpTarget, { repository, tag, digest }: TaggedDigest): boolean {
  if (!repositories(repository)) return false
  if (!images) return true
  return images.kind === 'digest' ? images.digest === digest : !tag.includes(':') && images.matches(tag)
}

/** What the repositories hold, whether a tag leads there or not. */
export async function* linksOf(
  { links }: Metadata,
  { repositories, images }: GiveUpTarget,
): AsyncGenerator<LinkKey> {
  const isMeant = ({ digest }: LinkKey) => images?.kind !== 'digest' || images.digest === digest
  for (let page = await links.stored(undefined, pageRows); page.length > 0; ) {
    for (const row of page) if (repositories(row.repository) && isMeant(row)) yield row
    page = await links.stored(page.at(-1), pageRows)
  }
}
