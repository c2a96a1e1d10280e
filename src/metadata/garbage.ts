import { type CompiledQuery, type RawBuilder, sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import { type Database, forEachRow } from './database.ts'
import type { LinkRows } from './links.ts'
import type { Garbage, GarbagePage, GarbageRules, LinkKey } from './metadata.ts'

/** Named by a manifest of the repository. Not a join: SQLite would walk through everything the repository holds. */
const isReferredTo = sql`exists (
  select 1 from reference
  where reference.child = link.digest and exists (
    select 1 from link as parent
    where parent.digest = reference.parent and parent.repository = link.repository
  )
)`

const isTagged = sql`exists (
  select 1 from tag where tag.digest = link.digest and tag.repository = link.repository
)`

/** A manifest with a subject belongs to it while it is here, or wherever it is. */
function hasSubject(isElsewhere: boolean): RawBuilder<unknown> {
  const isHere = sql`exists (
    select 1 from link as subject
    where subject.digest = referrer.subject and subject.repository = link.repository
  )`
  return sql`exists (
    select 1 from referrer
    where referrer.digest = link.digest and referrer.repository = link.repository
      and ${isElsewhere ? sql`true` : isHere}
  )`
}

const isManifest = sql`exists (select 1 from manifest where manifest.digest = link.digest)`

/** Of a row of `link`, whether nothing needs it. */
function isGarbage({ kind, before, subjectsElsewhere = false }: GarbageRules): RawBuilder<unknown> {
  const isOfKind =
    kind === 'blob'
      ? sql`not ${isManifest}`
      : sql`${isManifest} and not ${isTagged} and not ${hasSubject(subjectsElsewhere)}`
  return sql`link.origin in ('pushed', 'mounted') and link.created_at < ${before.created}
    and not exists (
      select 1 from stored where stored.digest = link.digest and stored.used_at >= ${before.used}
    )
    and ${isOfKind} and not ${isReferredTo}`
}

export function createGarbage(
  { query, write }: Database,
  { removed, forget }: Pick<LinkRows, 'removed' | 'forget'>,
): Garbage {
  function unlinkAll(keys: readonly LinkKey[], rules: GarbageRules): CompiledQuery[] {
    const links = forEachRow(
      keys.map((key) => ({ ...key, ...rules.before })),
      ({ repository, digest }) => {
        const statement = sql`
          delete from link
          where repository = ${repository} and digest = ${digest} and ${isGarbage(rules)}`
        return { compile: () => statement.compile(query) }
      },
    )
    const referrers = forEachRow(keys, ({ repository, digest }) => {
      const statement = sql`
        delete from referrer
        where repository = ${repository} and digest = ${digest} and not exists (
          select 1 from link where link.repository = referrer.repository and link.digest = referrer.digest
        )`
      return { compile: () => statement.compile(query) }
    })
    return [...links, ...referrers]
  }

  return {
    async links(repository, rules, after, limit) {
      const { rows } = await sql<{ digest: Digest; is_garbage: number }>`
        with page as materialized (
          select repository, digest from link
          where repository = ${repository} and digest > ${after ?? ''}
          order by digest limit ${limit}
        )
        select
          digest,
          exists (
            select 1 from link
            where link.repository = page.repository and link.digest = page.digest and ${isGarbage(rules)}
          ) as is_garbage
        from page order by digest`.execute(query)
      return pageOf(rows, limit)
    },
    async unlink(repository, digests, rules) {
      if (digests.length === 0) return []
      const keys = digests.map((digest) => ({ repository, digest }))
      const written = write(unlinkAll(keys, rules))
      for (const digest of digests) removed(repository, digest, written)
      await written
      const left = await query
        .selectFrom('link')
        .select('digest')
        .where('repository', '=', repository)
        .where('digest', 'in', digests)
        .execute()
      const stay = new Set(left.map(({ digest }) => digest))
      for (const digest of stay) forget(repository, digest)
      return digests.filter((digest) => !stay.has(digest))
    },
    async stored(after, limit) {
      const { rows } = await sql<{ digest: Digest; is_garbage: number }>`
        with page as materialized (
          select digest from stored where digest > ${after ?? ''} order by digest limit ${limit}
        )
        select
          digest,
          not exists (select 1 from link where link.digest = page.digest) as is_garbage
        from page order by digest`.execute(query)
      return pageOf(rows, limit)
    },
  }
}

function pageOf(rows: readonly { digest: Digest; is_garbage: number }[], limit: number): GarbagePage {
  return {
    found: rows.filter(({ is_garbage }) => is_garbage !== 0).map(({ digest }) => digest),
    last: rows.length < limit ? undefined : rows.at(-1)?.digest,
  }
}
