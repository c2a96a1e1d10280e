import type { CompiledQuery } from 'kysely'
import type { Database } from './database.ts'
import type { LinkRows } from './links.ts'
import type { ManifestRows } from './manifests.ts'
import type { ManifestRecord, TagRow } from './metadata.ts'
import type { StoredRows } from './stored.ts'
import type { TagRows } from './tags.ts'

/** The rows that come with a manifest. */
export interface ContentRows {
  links: LinkRows
  tags: TagRows
  manifests: ManifestRows
  stored: StoredRows
}

/** All of it or nothing, durable when it resolves. @param more written before its own rows, and after them */
export type WriteManifest = (
  record: Omit<ManifestRecord, 'tag'>,
  tagged: readonly TagRow[],
  more?: { first: readonly CompiledQuery[]; last: readonly CompiledQuery[] },
) => Promise<void>

export function createWriteManifest(
  { write }: Database,
  { links, tags, manifests, stored }: ContentRows,
): WriteManifest {
  return (record, tagged, { first, last } = { first: [], last: [] }) => {
    const { repository, digest, size, origin } = record
    const held = [{ repository, digest, origin }]
    const written = write([
      ...first,
      ...manifests.insert(record),
      ...links.insert(held),
      stored.upsert({ digest, size, usedAt: stored.now() }),
      ...tagged.map(tags.upsert),
      ...last,
    ])
    manifests.remember(record, written)
    links.remember(held, written)
    for (const row of tagged) tags.remember(row, written)
    return written
  }
}
