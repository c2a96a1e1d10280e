import { sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Database } from './database.ts'
import type { ImageRow, Images } from './metadata.ts'

interface Row {
  repository: RepositoryName
  name: Tag
  digest: Digest
  bytes: number | null
  missing: number
  used_at: number | null
}

export function createImages({ query }: Database): Images {
  return {
    async list(after, limit) {
      const from = after ? sql`where (tag.repository, tag.name) > (${after.repository}, ${after.tag})` : sql``
      const { rows } = await sql<Row>`
        with recursive
          page as (
            select repository, name, digest from tag ${from}
            order by repository, name limit ${limit}
          ),
          part (root, digest, depth) as (
            select digest, digest, 0 from page
            union
            select part.root, reference.child, part.depth + 1
            from part join reference on reference.parent = part.digest
            where part.depth < 2
          ),
          whole as (
            select root, digest, min(depth) as depth from part group by root, digest
          ),
          sums as (
            select
              whole.root,
              sum(stored.size) as bytes,
              count(*) - count(stored.digest) as missing,
              max(case when whole.depth = 0 then stored.used_at end) as used_at
            from whole left join stored on stored.digest = whole.digest
            group by whole.root
          )
        select page.*, sums.bytes, sums.missing, sums.used_at
        from page join sums on sums.root = page.digest
        order by page.repository, page.name`.execute(query)
      return rows.map(imageOf)
    },
  }
}

function imageOf({ repository, name, digest, bytes, missing, used_at }: Row): ImageRow {
  return {
    repository,
    tag: name,
    digest,
    bytes: bytes ?? 0,
    missing,
    ...(used_at !== null && { usedAt: used_at }),
  }
}
