import { type CompiledQuery, sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import { type Database, forEachRow } from './database.ts'
import type { ManifestRecord, Manifests } from './metadata.ts'
import { createRowCache } from './row-cache.ts'
import type { ReferenceTable } from './schema.ts'

type ManifestRow = NonNullable<Awaited<ReturnType<Manifests['find']>>>

/** The manifests, and the two halves of recording one. What was first recorded of a digest stays. */
export interface ManifestRows extends Manifests {
  insert(record: Pick<ManifestRecord, 'digest' | 'mediaType' | 'size' | 'children'>): CompiledQuery[]
  remember(record: Pick<ManifestRecord, 'digest' | 'mediaType' | 'size'>, written: Promise<void>): void
  forget(digest: Digest): void
}

export function createManifests({ query }: Database, cacheEntries: number): ManifestRows {
  const cache = createRowCache<ManifestRow>(cacheEntries)

  function insertChildren({
    digest,
    children,
  }: Pick<ManifestRecord, 'digest' | 'children'>): CompiledQuery[] {
    const rows: ReferenceTable[] = children.map((child) => ({
      parent: digest,
      child: child.digest,
      media_type: child.mediaType,
      size: child.size,
    }))
    return forEachRow(rows, (row) =>
      query
        .insertInto('reference')
        .values(row)
        .onConflict((conflict) => conflict.doNothing()),
    )
  }

  return {
    insert(record) {
      const { digest, mediaType, size } = record
      const manifest = query
        .insertInto('manifest')
        .values({ digest, media_type: mediaType, size })
        .onConflict((conflict) => conflict.doNothing())
        .compile()
      return [manifest, ...insertChildren(record)]
    },
    remember({ digest, mediaType, size }, written) {
      cache.added(digest, Object.freeze({ mediaType, size }), written)
    },
    forget: cache.forgotten,
    find: (digest) => cache.find(digest, () => load(digest)),
    async children(parents) {
      const { rows } = await sql<{ digest: Digest; count: number }>`
        select child as digest, count(*) as count
        from reference
        where parent in (select value from json_each(${JSON.stringify(parents)}))
        group by child`.execute(query)
      return new Map(rows.map(({ digest, count }) => [digest, count]))
    },
    async statedSize(repository, digest) {
      // Not a join: SQLite would walk through everything the repository holds.
      const row = await query
        .selectFrom('reference')
        .select('size')
        .where('child', '=', digest)
        .where(({ exists, selectFrom }) =>
          exists(
            selectFrom('link')
              .select('link.digest')
              .whereRef('link.digest', '=', 'reference.parent')
              .where('link.repository', '=', repository),
          ),
        )
        .limit(1)
        .executeTakeFirst()
      return row?.size
    },
  }

  async function load(digest: Digest): Promise<ManifestRow | undefined> {
    const row = await query
      .selectFrom('manifest')
      .select(['media_type', 'size'])
      .where('digest', '=', digest)
      .executeTakeFirst()
    return row && Object.freeze({ mediaType: row.media_type, size: row.size })
  }
}
