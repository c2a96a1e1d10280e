import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Referrer } from '../oci/referrer.ts'

/** What this site knows of its content. Reads may come from a bounded cache that writes keep true; no method blocks the serving thread. */
export interface Metadata {
  links: Links
  tags: Tags
  manifests: Manifests
  stored: Stored
  images: Images
  pins: Pins
  pushes: Pushes
  garbage: Garbage
  /** All of it or nothing, durable when it resolves: manifest row, children, link, tag and its place among the stored. */
  recordManifest(record: ManifestRecord): Promise<void>
  /** All of it or nothing, durable when it resolves: its links and its place among the stored. */
  recordBlob(record: BlobRecord): Promise<void>
  /** Why it could not be read or written lately, if so. */
  trouble(): string | undefined
  close(): Promise<void>
}

export type LinkOrigin = 'pushed' | 'filled' | 'replicated' | 'mounted'

/** A repository (project included in its name) holds a digest. Without a link nothing is readable (security R3). */
export interface Link {
  repository: RepositoryName
  digest: Digest
  origin: LinkOrigin
}

/** What a repository holds, as it got it. */
export interface HeldPart extends Pick<Link, 'origin'> {
  /** Bytes. */
  size: number
}

export interface Links {
  find(repository: RepositoryName, digest: Digest): Promise<Link | undefined>
  /** Every repository of the site that holds `digest`. */
  holders(digest: Digest): Promise<RepositoryName[]>
  /** Those of `digests` that `repository` holds. */
  among(repository: RepositoryName, digests: readonly Digest[]): Promise<Map<Digest, HeldPart>>
  /** Whether it holds anything; `kept`: that did not just come from upstream. */
  isUsed(repository: RepositoryName, which?: 'kept'): Promise<boolean>
  /** Those that hold something, in byte order, after `after`. */
  repositories(after: string | undefined, limit: number): Promise<RepositoryName[]>
  /** All or none. An existing link keeps its origin, unless that is `filled`. `find` sees them as soon as this is called. */
  add(links: readonly Link[]): Promise<void>
  /** Links to what is stored, in the order of repository and digest, from behind `after` on. */
  stored(after: LinkKey | undefined, limit: number): Promise<LinkKey[]>
}

export type LinkKey = Pick<Link, 'repository' | 'digest'>

export interface TagRow {
  repository: RepositoryName
  tag: Tag
  digest: Digest
  mediaType: string
  size: number
  /** Milliseconds since 1970: when upstream last confirmed it, or when it was pushed. */
  checkedAt: number
  /** It was pushed here: upstream has no say in it, whatever it calls so. */
  own?: true
  /** Upstream's last word was that there is no such tag, or that we may not have it. */
  withheld?: 'absent' | 'refused'
}

export type TagKey = Pick<TagRow, 'repository' | 'tag'>
export type TaggedDigest = TagKey & Pick<TagRow, 'digest'>

export interface Tags {
  find(repository: RepositoryName, tag: Tag): Promise<TagRow | undefined>
  /**
   * Inserts or replaces; `find` sees it as soon as this is called. Only an own one takes the place of an own one: what is
   * heard from upstream meanwhile, or was asked before, is dropped.
   */
  put(row: TagRow): Promise<void>
  /** Nothing is known of it any more, unless it stands for another digest; `find` says so when this resolves. */
  remove(repository: RepositoryName, tag: Tag, digest: Digest): Promise<void>
  /** Every tag of the site in the order of repository and name, from behind `after` on; names with a colon too. */
  all(after: TagKey | undefined, limit: number): Promise<TaggedDigest[]>
  /** In byte order, after `after`. Neither what upstream withholds, nor rows whose name has a colon, which no tag can have. */
  list(repository: RepositoryName, after: string | undefined, limit: number, which?: 'own'): Promise<Tag[]>
}

export interface ManifestRecord {
  repository: RepositoryName
  digest: Digest
  mediaType: string
  size: number
  origin: LinkOrigin
  /** What it points to, manifests and blobs alike. */
  children: readonly Descriptor[]
  tag?: { tag: Tag; checkedAt: number }
}

export interface BlobRecord {
  digest: Digest
  size: number
  repositories: readonly RepositoryName[]
  origin: LinkOrigin
}

export interface Manifests {
  find(digest: Digest): Promise<{ mediaType: string; size: number } | undefined>
  /** How many of `parents` point to each of the digests that any of them points to. */
  children(parents: readonly Digest[]): Promise<Map<Digest, number>>
  /** The size that a manifest held by `repository` states for its child `digest`. */
  statedSize(repository: RepositoryName, digest: Digest): Promise<number | undefined>
}

/** A manifest or blob whose bytes are on the disk. */
export interface StoredRow {
  digest: Digest
  size: number
  /** Milliseconds since 1970. */
  usedAt: number
}

/** One of them as eviction sees it. */
export interface HeldRow extends StoredRow {
  links: Pick<Link, 'repository' | 'origin'>[]
}

export interface Needs {
  /** Manifests that are stored. */
  parents: number
  tags: number
}

/** What is on the disk, and when it was last used. */
export interface Stored {
  /** The time by which uses are noted, milliseconds since 1970: later than every earlier one, whoever sets the clock. */
  now(): number
  /** Of all of it together. */
  bytes(): Promise<number>
  /**
   * Notes when digests were used last. What a manifest points to counts as used right after it, so that it outlives the
   * manifest; an earlier use than is known changes nothing.
   */
  touch(uses: Iterable<readonly [Digest, number]>): Promise<void>
  /** The longest unused first, from behind `after` on. */
  leastUsed(after: StoredRow | undefined, limit: number): Promise<StoredRow[]>
  /** In the order of their digests, from behind `after` on. */
  all(after: Digest | undefined, limit: number): Promise<Digest[]>
  /** Those that were not looked at since `before`, the longest first. What has just come counts as looked at. */
  longestUnchecked(before: number, limit: number): Promise<Digest[]>
  /** Their bytes were looked at. */
  checked(digests: readonly Digest[], at: number): Promise<void>
  /** Those of `digests` that are stored, as they are now, with their links; the longest unused first. */
  held(digests: Iterable<Digest>): Promise<HeldRow[]>
  /** What of this site points to each of `digests`. */
  needs(digests: readonly Digest[]): Promise<Map<Digest, Needs>>
  /** How many bytes were not used since a time. */
  unusedSince(at: number): Promise<number>
  /** Their bytes have gone: so do their links and what manifests say. Nobody may add to them at the time. */
  remove(rows: readonly HeldRow[]): Promise<void>
}

/** What a tag of this site points to, with all that belongs to it. */
export interface ImageRow {
  repository: RepositoryName
  tag: Tag
  digest: Digest
  /** Of what of it is here, which other images may share. */
  bytes: number
  /** Manifests and blobs that belong to it and are not here: of an index mostly those of other platforms. */
  missing: number
  /** Milliseconds since 1970; absent: the manifest is not here. */
  usedAt?: number
}

export interface Images {
  /** In the order of repository and tag, from behind `after` on. A name with a colon is no tag, but a listing that is kept. */
  list(after: TagKey | undefined, limit: number): Promise<ImageRow[]>
  /** A manifest and all that it points to, as far as manifests that were here tell it: what points goes before what it points to. */
  parts(root: Digest): Promise<PartRow[]>
}

/** A manifest or blob that belongs to an image. */
export interface PartRow {
  digest: Digest
  kind: 'manifest' | 'blob'
  /** Bytes, as far as anything says it. */
  size: number
  /** How far it is from the root. */
  depth: number
  isHere: boolean
}

/** Patterns of repositories that somebody has told this node to keep. */
export interface Pins {
  list(): Promise<PinRow[]>
  /** One that is there stays as it is. */
  add(pin: PinRow): Promise<void>
  remove(pattern: string): Promise<void>
}

export interface PinRow {
  pattern: string
  /** Milliseconds since 1970. */
  createdAt: number
}

export interface PushRecord extends Omit<ManifestRecord, 'origin' | 'tag'> {
  tags: readonly Tag[]
  referrer?: Referrer
}

/** What clients write to repositories, and what only is there where they do. */
export interface Pushes {
  /** The repository has what another one has; noted as a use of it. Durable when it resolves. */
  mount(repository: RepositoryName, digest: Digest): Promise<void>
  /** All of it or nothing, durable when it resolves: manifest row, children, link, tags, referrer and its place among the stored. */
  manifest(record: PushRecord): Promise<void>
  /** The repository no longer holds it; nor do its tags point to it. All or nothing. */
  unlink(repository: RepositoryName, digest: Digest): Promise<void>
  untag(repository: RepositoryName, tag: Tag): Promise<void>
  /** What a manifest of the repository refers to. */
  subject(repository: RepositoryName, digest: Digest): Promise<Digest | undefined>
  /** Descriptors in JSON of what refers to `subject`, in the order of their digests, after `after`. */
  referrers(
    repository: RepositoryName,
    subject: Digest,
    artifactType: string | undefined,
    after: Digest | undefined,
    limit: number,
  ): Promise<{ digest: Digest; descriptor: string }[]>
}

/** What clients have pushed and nothing needs any more. */
export interface Garbage {
  /** Such links of a repository among the next `limit` of its links behind `after`, in the order of their digests. */
  links(
    repository: RepositoryName,
    rules: GarbageRules,
    after: Digest | undefined,
    limit: number,
  ): Promise<GarbagePage>
  /**
   * Removes those of the links that still are such, in one transaction. `find` says that they are gone as soon as this is
   * called. Nobody may put a manifest to the repository, nor link any of `digests`, until it resolves.
   * @returns those that went, durably
   */
  unlink(repository: RepositoryName, digests: readonly Digest[], rules: GarbageRules): Promise<Digest[]>
  /** What no repository links, among the next `limit` that are stored behind `after`, in the order of their digests. */
  stored(after: Digest | undefined, limit: number): Promise<GarbagePage>
}

export interface GarbagePage {
  found: Digest[]
  /** From where to go on; absent: there is no more. */
  last: Digest | undefined
}

export interface GarbageRules {
  /** Blobs that no manifest of the repository names; or manifests that nothing leads to: no tag, no index, no subject. */
  kind: 'blob' | 'manifest'
  /** Milliseconds since 1970: what was linked or used since is none. */
  before: { created: number; used: number }
  /** What a manifest belongs to may be upstream's, and need not be here. */
  subjectsElsewhere?: boolean
}
