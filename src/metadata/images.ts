import { sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Database } from './database.ts'
import type { ImageRow, Images } from './metadata.ts'

interface Row {
  repository: RepositoryName
  name: Tag
  digest: Digest
  /** JSON: bytes that are here, and how many parts are not. */
  parts: string
  used_at: number | null
}

export function createImages({ query }: Database): Images {
  return {
    async list(after, limit) {
      const from = after ? sql`where (repository, name) > (${after.repository}, ${after.tag})` : sql``
      const { rows } = await sql<Row>`
        with page as (
          select repository, name, digest from tag ${from} order by repository, name limit ${limit}
        )
        select
          page.*,
          (
            with recursive part (digest, depth) as (
              select page.digest, 0
              union
              select reference.child, part.depth + 1
              from part join reference on reference.parent = part.digest
              where part.depth < 2
            )
            select json_array(coalesce(sum(stored.size), 0), count(*) - count(stored.digest))
            from (select distinct digest from part) as part
            left join stored on stored.digest = part.digest
          ) as parts,
          (select used_at from stored where stored.digest = page.digest) as used_at
        from page
        order by repository, name`.execute(query)
      return rows.map(imageOf)
    },
  }
}

function imageOf({ repository, name, digest, parts, used_at }: Row): ImageRow {
  const [bytes, missing]: [number, number] = JSON.parse(parts)
  return { repository, tag: name, digest, bytes, missing, ...(used_at !== null && { usedAt: used_at }) }
}
