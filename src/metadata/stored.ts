import { type CompiledQuery, sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type Database, forEachRow } from './database.ts'
import type { HeldRow, Needs, Stored, StoredRow } from './metadata.ts'

/** What is stored, and its part of a write that holds more. */
export interface StoredRows extends Stored {
  upsert(row: StoredRow): CompiledQuery
}

interface Neighbours {
  /** Whose rows go with the bytes. */
  links: { forget(repository: RepositoryName, digest: Digest): void }
  manifests: { forget(digest: Digest): void }
  now(): number
}

/** Milliseconds since 1970; 0 where nothing is stored. */
export async function newestUse({ query }: Pick<Database, 'query'>): Promise<number> {
  const { newest } = await query
    .selectFrom('stored')
    .select(({ fn }) => fn.max<number | null>('used_at').as('newest'))
    .executeTakeFirstOrThrow()
  return newest ?? 0
}

export function createStored({ query, write }: Database, { links, manifests, now }: Neighbours): StoredRows {
  function upsert({ digest, size, usedAt }: StoredRow): CompiledQuery {
    const row = { size, used_at: usedAt, checked_at: usedAt }
    return query
      .insertInto('stored')
      .values({ digest, ...row })
      .onConflict((conflict) => conflict.column('digest').doUpdateSet(row))
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

  async function leastUsed(after: StoredRow | undefined, limit: number): Promise<StoredRow[]> {
    const all = query.selectFrom('stored').select(['digest', 'size', 'used_at'])
    const rest = after
      ? all.where(({ eb, refTuple, tuple }) =>
          eb(refTuple('used_at', 'digest'), '>', tuple(after.usedAt, after.digest)),
        )
      : all
    const rows = await rest.orderBy('used_at').orderBy('digest').limit(limit).execute()
    return rows.map(({ digest, size, used_at }) => ({ digest, size, usedAt: used_at }))
  }

  async function heldOf(digests: readonly Digest[]): Promise<HeldRow[]> {
    if (digests.length === 0) return []
    const rows = await query
      .selectFrom('stored')
      .leftJoin('link', 'link.digest', 'stored.digest')
      .select(['stored.digest', 'size', 'used_at', 'repository', 'origin'])
      .where('stored.digest', 'in', digests)
      .orderBy('used_at')
      .orderBy('stored.digest')
      .execute()
    const held = new Map<Digest, HeldRow>()
    for (const { digest, size, used_at, repository, origin } of rows) {
      const row = held.get(digest) ?? { digest, size, usedAt: used_at, links: [] }
      held.set(digest, row)
      if (repository !== null && origin !== null) row.links.push({ repository, origin })
    }
    return [...held.values()]
  }

  async function needsOf(digests: readonly Digest[]): Promise<Map<Digest, Needs>> {
    const { rows } = await sql<{ digest: Digest } & Needs>`
      select
        value as digest,
        (
          select count(*) from reference join stored on stored.digest = reference.parent
          where reference.child = value
        ) as parents,
        (select count(*) from tag where tag.digest = value) as tags
      from json_each(${JSON.stringify(digests)})`.execute(query)
    return new Map(rows.map(({ digest, parents, tags }) => [digest, { parents, tags }]))
  }

  function removeAll(rows: readonly HeldRow[]): CompiledQuery[] {
    const digests = rows.map(({ digest }) => ({ digest }))
    return (['stored', 'link', 'manifest'] as const).flatMap((table) =>
      forEachRow(digests, ({ digest }) => query.deleteFrom(table).where('digest', '=', digest)),
    )
  }

  return {
    now,
    upsert,
    async bytes() {
      const { total } = await query
        .selectFrom('stored')
        .select(({ fn }) => fn.sum<number | null>('size').as('total'))
        .executeTakeFirstOrThrow()
      return total ?? 0
    },
    touch: (uses) => write(touchAll([...uses])),
    leastUsed,
    async all(after, limit) {
      const every = query.selectFrom('stored').select('digest').orderBy('digest').limit(limit)
      const rows = await (after === undefined ? every : every.where('digest', '>', after)).execute()
      return rows.map(({ digest }) => digest)
    },
    async longestUnchecked(before, limit) {
      const rows = await query
        .selectFrom('stored')
        .select('digest')
        .where('checked_at', '<', before)
        .orderBy('checked_at')
        .orderBy('digest')
        .limit(limit)
        .execute()
      return rows.map(({ digest }) => digest)
    },
    checked: (digests, at) =>
      write(
        forEachRow(
          digests.map((digest) => ({ checked_at: at, digest })),
          ({ checked_at, digest }) =>
            query.updateTable('stored').set({ checked_at }).where('digest', '=', digest),
        ),
      ),
    held: (digests) => heldOf([...digests]),
    needs: needsOf,
    async unusedSince(at) {
      const { total } = await query
        .selectFrom('stored')
        .select(({ fn }) => fn.sum<number | null>('size').as('total'))
        .where('used_at', '<', at)
        .executeTakeFirstOrThrow()
      return total ?? 0
    },
    async remove(rows) {
      await write(removeAll(rows))
      for (const { digest, links: held } of rows) {
        manifests.forget(digest)
        for (const { repository } of held) links.forget(repository, digest)
      }
    },
  }
}
