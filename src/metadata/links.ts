import { type CompiledQuery, sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type Database, forEachRow } from './database.ts'
import type { HeldPart, Link, Links } from './metadata.ts'
import { createRowCache } from './row-cache.ts'

const pageRows = 1000

/** The links, and the two halves of `add` for a write that holds more than links. */
export interface LinkRows extends Links {
  insert(links: readonly Link[]): CompiledQuery[]
  remember(links: readonly Link[], written: Promise<void>): void
  forget(repository: RepositoryName, digest: Digest): void
  removed(repository: RepositoryName, digest: Digest, written: Promise<void>): void
}

export function createLinks({ query, write }: Database, cacheEntries: number): LinkRows {
  const cache = createRowCache<Link>(cacheEntries, (there) => there.origin === 'filled')

  function insert(links: readonly Link[]): CompiledQuery[] {
    const created_at = Date.now()
    const rows = links.map(({ repository, digest, origin }) => ({ repository, digest, origin, created_at }))
    return forEachRow(rows, (row) =>
      query
        .insertInto('link')
        .values(row)
        // A mirror may have become one that is pushed to: what somebody means to keep does not go for room.
        .onConflict((conflict) =>
          conflict
            .columns(['repository', 'digest'])
            .doUpdateSet(({ ref }) => ({ origin: ref('excluded.origin') }))
            .where('link.origin', '=', sql.lit('filled')),
        ),
    )
  }

  function remember(links: readonly Link[], written: Promise<void>): void {
    for (const { repository, digest, origin } of links) {
      cache.added(keyOf(repository, digest), Object.freeze({ repository, digest, origin }), written)
    }
  }

  return {
    insert,
    remember,
    removed: (repository, digest, written) => cache.removed(keyOf(repository, digest), written),
    async among(repository, digests) {
      const held = new Map<Digest, HeldPart>()
      for (let at = 0; at < digests.length; at += pageRows) {
        const rows = await query
          .selectFrom('link')
          .innerJoin('stored', 'stored.digest', 'link.digest')
          .select(['link.digest', 'stored.size', 'link.origin'])
          .where('repository', '=', repository)
          .where('link.digest', 'in', digests.slice(at, at + pageRows))
          .execute()
        for (const { digest, ...part } of rows) held.set(digest, part)
      }
      return held
    },
    async isUsed(repository, which) {
      const all = query.selectFrom('link').select('digest').where('repository', '=', repository)
      const meant = which === 'kept' ? all.where('origin', '<>', 'filled') : all
      return (await meant.limit(1).executeTakeFirst()) !== undefined
    },
    async repositories(after = '', limit) {
      // From one name to the next: a plain `distinct` would read every link.
      const { rows } = await sql<{ name: RepositoryName }>`
        with recursive each (name) as (
          select (select min(repository) from link where repository > ${after})
          union all
          select (select min(repository) from link where repository > each.name)
          from each where each.name is not null
          limit ${limit}
        )
        select name from each where name is not null`.execute(query)
      return rows.map(({ name }) => name)
    },
    forget: (repository, digest) => cache.forgotten(keyOf(repository, digest)),
    find: (repository, digest) =>
      cache.find(keyOf(repository, digest), () =>
        query
          .selectFrom('link')
          .select(['repository', 'digest', 'origin'])
          .where('repository', '=', repository)
          .where('digest', '=', digest)
          .executeTakeFirst(),
      ),
    async holders(digest) {
      const holders: RepositoryName[] = []
      for (let page = await holdersAfter(undefined); ; page = await holdersAfter(holders.at(-1))) {
        holders.push(...page)
        if (page.length < pageRows) return holders
      }

      async function holdersAfter(after: RepositoryName | undefined): Promise<RepositoryName[]> {
        const all = query.selectFrom('link').select('repository').where('digest', '=', digest)
        const rest = after === undefined ? all : all.where('repository', '>', after)
        const rows = await rest.orderBy('repository').limit(pageRows).execute()
        return rows.map((row) => row.repository)
      }
    },
    async stored(after, limit) {
      const all = query
        .selectFrom('link')
        .innerJoin('stored', 'stored.digest', 'link.digest')
        .select(['repository', 'link.digest'])
      const rest = after
        ? all.where(({ eb, refTuple, tuple }) =>
            eb(refTuple('repository', 'link.digest'), '>', tuple(after.repository, after.digest)),
          )
        : all
      return await rest.orderBy('repository').orderBy('link.digest').limit(limit).execute()
    },
    add(links) {
      const written = write(insert(links))
      remember(links, written)
      return written
    },
  }
}

function keyOf(repository: RepositoryName, digest: Digest): string {
  return `${repository}@${digest}`
}
