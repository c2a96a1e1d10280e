import { type CompiledQuery, sql } from 'kysely'
import type { Database } from './database.ts'
import type { LinkRows } from './links.ts'
import type { ManifestRows } from './manifests.ts'
import type { Pushes, PushRecord } from './metadata.ts'
import type { StoredRows } from './stored.ts'
import type { TagRows } from './tags.ts'

/** The rows that a push writes. */
interface Rows {
  links: LinkRows
  tags: TagRows
  manifests: ManifestRows
  stored: StoredRows
}

export function createPushes({ query, write }: Database, { links, tags, manifests, stored }: Rows): Pushes {
  function insertReferrer({ repository, digest, referrer }: PushRecord): CompiledQuery[] {
    if (!referrer) return []
    const { subject, artifactType: artifact_type = null, descriptor } = referrer
    return [
      query
        .insertInto('referrer')
        .values({ repository, subject, digest, artifact_type, descriptor })
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

  return {
    manifest(record) {
      const { repository, digest, mediaType, size } = record
      const now = Date.now()
      const held = [{ repository, digest, origin: 'pushed' as const }]
      const tagged = record.tags.map((tag) => ({ repository, tag, digest, mediaType, size, checkedAt: now }))
      const whole = { ...record, origin: 'pushed' as const }
      const written = write([
        ...manifests.insert(whole),
        ...links.insert(held),
        keepParts(record),
        stored.upsert({ digest, size, usedAt: now }),
        ...insertReferrer(record),
        ...tagged.map(tags.upsert),
      ])
      manifests.remember(whole, written)
      links.remember(held, written)
      for (const row of tagged) tags.remember(row, written)
      return written
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
      const written = write([gone.compile()])
      tags.removed(repository, tag, written)
      return written
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
