import { type Digest, digestOf } from '../oci/digest.ts'
import { type Descriptor, mediaTypes } from '../oci/manifest.ts'
import type { Referrer } from '../oci/referrer.ts'
import { listingOf, referrersTag } from '../oci/referrer.ts'
import type { ImageParts } from './export-parts.ts'
import { fullName, refName } from './layout.ts'

/** image-spec, "Image Layout": an entry of its `index.json`. */
export interface IndexEntry extends Pick<Descriptor, 'mediaType' | 'digest' | 'size'> {
  artifactType?: string
  annotations?: Record<string, string>
}

export interface LayoutIndex {
  entries: IndexEntry[]
  /** Blobs of it that stand nowhere yet: listings of referrers, for clients that look for them under a tag. */
  listings: Map<Digest, Buffer>
}

/** What stands in an exported layout for `images`, which are whole. */
export function indexOf(images: readonly ImageParts[]): LayoutIndex {
  const entries: IndexEntry[] = []
  const listings = new Map<Digest, Buffer>()
  for (const { image, repository, tag, root, referrers } of images) {
    if (!root) continue
    entries.push({
      ...root,
      annotations: { [fullName]: image, ...(tag !== undefined && { [refName]: tag }) },
    })
    for (const [subject, all] of Map.groupBy(referrers, (each) => each.subject)) {
      entries.push(...all.map(({ descriptor }) => referrerEntry(repository, descriptor)))
      const bytes = listingOf(all.map(({ descriptor }) => descriptor))
      const listing = { mediaType: mediaTypes.ociIndex, digest: digestOf(bytes), size: bytes.length }
      listings.set(listing.digest, bytes)
      const name = referrersTag(subject)
      entries.push({ ...listing, annotations: { [fullName]: `${repository}:${name}`, [refName]: name } })
    }
  }
  return { entries, listings }
}

function referrerEntry(repository: string, descriptor: Referrer['descriptor']): IndexEntry {
  const { mediaType, digest, size, artifactType } = descriptor
  return {
    ...{ mediaType, digest, size },
    ...(artifactType !== undefined && { artifactType }),
    annotations: { [fullName]: `${repository}@${digest}` },
  }
}

/** With the entries that a layout has already; one of the same name is replaced. */
export function indexText(entries: readonly IndexEntry[], before: readonly IndexEntry[]): string {
  const all = new Map([...before, ...entries].map((entry) => [keyOf(entry), entry]))
  const shared = Map.groupBy(all.values(), ({ annotations }) => annotations?.[refName])
  const manifests = [...all.values()].map((entry) => {
    const { [fullName]: full, [refName]: ref } = entry.annotations ?? {}
    // A tag that two repositories have says nothing alone.
    if (full === undefined || ref === undefined || (shared.get(ref)?.length ?? 0) < 2) return entry
    return { ...entry, annotations: { ...entry.annotations, [refName]: full } }
  })
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })
}

function keyOf({ digest, annotations }: IndexEntry): string {
  return annotations?.[fullName] ?? annotations?.[refName] ?? digest
}
