import { type CompiledQuery, sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type Database, forEachRow } from './database.ts'
import type { HeldRow, Stored, StoredRow } from './metadata.ts'
import type { StoredTable } from './schema.ts'

/** What is stored, and its part of a write that holds more. */
export interface StoredRows extends Stored {
  upsert(row: StoredRow): CompiledQuery
}

/** Whose rows go with the bytes. */
interface Neighbours {
  links: { forget(repository: RepositoryName, digest: Digest): void }
  manifests: { forget(digest: Digest): void }
}

export function createStored({ query, write }: Database, { links, manifests }: Neighbours): StoredRows {
  function upsert({ digest, size, usedAt }: StoredRow): CompiledQuery {
    return query
      .insertInto('stored')
      .values({ digest, size, used_at: usedAt })
      .onConflict((conflict) => conflict.column('digest').doUpdateSet({ size, used_at: usedAt }))
      .compile()
  }

  /** An index, its images and their blobs, each a little later than what points to it. */
  function touchAll(uses: readonly (readonly [Digest, number])[]): CompiledQuery[] {
    const rows = uses.map(([digest, at]) => ({ digest, at }))
    return forEachRow(rows, ({ digest, at }) => {
      const statement = sql`
        with recursive used (digest, at, depth) as (
          select ${digest}, ${at}, 0
          union
          select reference.child, used.at + 1, used.depth + 1
          from used join reference on reference.parent = used.digest
          where used.depth < 2
        )
        update stored set used_at = used.at from used
        where stored.digest = used.digest and stored.used_at < used.at`
      return { compile: () => statement.compile(query) }
    })
  }

  async function leastUsed(after: StoredRow | undefined, limit: number): Promise<HeldRow[]> {
    const all = query.selectFrom('stored').select(['digest', 'size', 'used_at'])
    const rest = after
      ? all.where(({ eb, refTuple, tuple }) =>
          eb(refTuple('used_at', 'digest'), '>', tuple(after.usedAt, after.digest)),
        )
      : all
    const rows = await rest.orderBy('used_at').orderBy('digest').limit(limit).execute()
    const held = new Map(rows.map((row) => [row.digest, heldRowOf(row)]))
    if (held.size === 0) return []
    const found = await query
      .selectFrom('link')
      .select(['repository', 'digest', 'origin'])
      .where('digest', 'in', [...held.keys()])
      .execute()
    for (const { digest, repository, origin } of found) held.get(digest)?.links.push({ repository, origin })
    return [...held.values()]
  }

  /** Nothing of a digest that has come again meanwhile. */
  function removeAll(rows: readonly HeldRow[]): CompiledQuery[] {
    const seen = rows.map(({ digest, usedAt }) => ({ digest, usedAt }))
    const digests = rows.map(({ digest }) => ({ digest }))
    return [
      ...forEachRow(seen, ({ digest, usedAt }) =>
        query.deleteFrom('stored').where('digest', '=', digest).where('used_at', '=', usedAt),
      ),
      ...(['link', 'manifest'] as const).flatMap((table) =>
        forEachRow(digests, ({ digest }) =>
          query
            .deleteFrom(table)
            .where('digest', '=', digest)
            .where(({ not, exists, selectFrom }) =>
              not(
                exists(
                  selectFrom('stored').select('digest').whereRef('stored.digest', '=', `${table}.digest`),
                ),
              ),
            ),
        ),
      ),
    ]
  }

  /** As used when it came, of the size that its manifest, or one that names it, says. */
  const missing = sql`
    insert into stored (digest, size, used_at)
    select
      link.digest,
      coalesce(
        (select size from manifest where manifest.digest = link.digest),
        (select max(size) from reference where reference.child = link.digest),
        0
      ),
      max(link.created_at)
    from link
    where not exists (select 1 from stored where stored.digest = link.digest)
    group by link.digest`

  return {
    upsert,
    reconcile: () => write([missing.compile(query)]),
    async bytes() {
      const { total } = await query
        .selectFrom('stored')
        .select(({ fn }) => fn.sum<number | null>('size').as('total'))
        .executeTakeFirstOrThrow()
      return total ?? 0
    },
    put: (row) => write([upsert(row)]),
    touch: (uses) => write(touchAll([...uses])),
    leastUsed,
    async remove(rows) {
      await write(removeAll(rows))
      for (const { digest, links: held } of rows) {
        manifests.forget(digest)
        for (const { repository } of held) links.forget(repository, digest)
      }
    },
  }
}

function heldRowOf({ digest, size, used_at }: StoredTable): HeldRow {
  return { digest, size, usedAt: used_at, links: [] }
}
