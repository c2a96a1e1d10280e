import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { LinkOrigin, TagRow } from './metadata.ts'

/** The tables as every database shows them: text and whole numbers only. */
export interface Schema {
  manifest: ManifestTable
  reference: ReferenceTable
  link: LinkTable
  tag: TagTable
  stored: StoredTable
  pin: PinTable
  referrer: ReferrerTable
}

export interface ManifestTable {
  digest: Digest
  media_type: string
  /** Bytes. */
  size: number
}

/** A manifest points to a child, which may be a blob or another manifest and need not be here. */
export interface ReferenceTable {
  parent: Digest
  child: Digest
  media_type: string
  /** Bytes, as the parent states it. */
  size: number
}

export interface LinkTable {
  repository: RepositoryName
  digest: Digest
  origin: LinkOrigin
  /** Milliseconds since 1970. */
  created_at: number
}

export interface TagTable {
  repository: RepositoryName
  name: Tag
  digest: Digest
  media_type: string
  size: number
  checked_at: number
  withheld: NonNullable<TagRow['withheld']> | null
  own: 0 | 1
}

/** A manifest or blob whose bytes are on the disk. */
export interface StoredTable {
  digest: Digest
  /** Bytes. */
  size: number
  /** Milliseconds since 1970. */
  used_at: number
  /** Milliseconds since 1970: when its bytes were last seen to be right. */
  checked_at: number
}

export interface PinTable {
  pattern: string
  /** Milliseconds since 1970. */
  created_at: number
}

/** A pushed manifest that names another one as its subject, which need not be here. */
export interface ReferrerTable {
  repository: RepositoryName
  subject: Digest
  digest: Digest
  artifact_type: string | null
  /** JSON. */
  descriptor: string
}
