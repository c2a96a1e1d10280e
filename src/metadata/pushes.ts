import { type CompiledQuery, type RawBuilder, sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Database } from './database.ts'
import type { Pushes, PushRecord } from './metadata.ts'
import type { ContentRows, WriteManifest } from './record-manifest.ts'

export function createPushes(
  { query, write }: Database,
  { links, tags, stored }: Pick<ContentRows, 'links' | 'tags' | 'stored'>,
  writeManifest: WriteManifest,
): Pushes {
  function insertReferrer({ repository, digest, referrer }: PushRecord): CompiledQuery[] {
    if (!referrer) return []
    const { subject, descriptor } = referrer
    const artifact_type = descriptor.artifactType ?? null
    return [
      query
        .insertInto('referrer')
        .values({ repository, subject, digest, artifact_type, descriptor: JSON.stringify(descriptor) })
        .onConflict((conflict) => conflict.doNothing())
        .compile(),
    ]
  }

  /** A client pushes no part that it finds here, be it of the time when the repository was a mirror's. */
  function keepParts({ repository, digest }: PushRecord): CompiledQuery {
    return sql`
      with recursive part (digest) as (
        select ${digest}
        union
        select reference.child from part join reference on reference.parent = part.digest
      )
      update link set origin = 'pushed'
      where repository = ${repository} and origin = 'filled' and digest in (select digest from part)`.compile(
      query,
    )
  }

  function use(digests: RawBuilder<Digest>): CompiledQuery {
    const now = stored.now()
    return sql`update stored set used_at = ${now} where used_at < ${now} and digest in ${digests}`.compile(
      query,
    )
  }

  /** What a tag leaves counts as used: whoever has just resolved it may come for it, and what is untagged goes by its age. */
  function useTagged(repository: RepositoryName, names: readonly Tag[]): CompiledQuery {
    return use(sql<Digest>`(
      select digest from tag
      where repository = ${repository} and name in (select value from json_each(${JSON.stringify(names)}))
    )`)
  }

  return {
    mount(repository, digest) {
      const mounted = [{ repository, digest, origin: 'mounted' as const }]
      const written = write([...links.insert(mounted), use(sql<Digest>`(${digest})`)])
      links.remember(mounted, written)
      return written
    },
    async manifest(record) {
      const { repository, digest, mediaType, size } = record
      const checkedAt = Date.now()
      const row = { repository, digest, mediaType, size, checkedAt, own: true as const }
      const tagged = record.tags.map((tag) => ({ ...row, tag }))
      const more = {
        first: record.tags.length > 0 ? [useTagged(repository, record.tags)] : [],
        last: [keepParts(record), ...insertReferrer(record)],
      }
      await writeManifest({ ...record, origin: 'pushed' }, tagged, more)
      // Of some the origin is another now.
      for (const child of record.children) links.forget(repository, child.digest)
    },
    async unlink(repository, digest) {
      const tagged = await query
        .selectFrom('tag')
        .select('name')
        .where('repository', '=', repository)
        .where('digest', '=', digest)
        .execute()
      const written = write(
        (['tag', 'referrer', 'link'] as const).map((table) =>
          query.deleteFrom(table).where('repository', '=', repository).where('digest', '=', digest).compile(),
        ),
      )
      links.removed(repository, digest, written)
      for (const { name } of tagged) tags.removed(repository, name, written)
      return written
    },
    untag(repository, tag) {
      const gone = query.deleteFrom('tag').where('repository', '=', repository).where('name', '=', tag)
      const written = write([useTagged(repository, [tag]), gone.compile()])
      tags.removed(repository, tag, written)
      return written
    },
    async subject(repository, digest) {
      const row = await query
        .selectFrom('referrer')
        .select('subject')
        .where('digest', '=', digest)
        .where('repository', '=', repository)
        .executeTakeFirst()
      return row?.subject
    },
    referrers(repository, subject, artifactType, after, limit) {
      let rows = query
        .selectFrom('referrer')
        .select(['digest', 'descriptor'])
        .where('repository', '=', repository)
        .where('subject', '=', subject)
      if (artifactType !== undefined) rows = rows.where('artifact_type', '=', artifactType)
      if (after !== undefined) rows = rows.where('digest', '>', after)
      return rows.orderBy('digest').limit(limit).execute()
    },
  }
}
