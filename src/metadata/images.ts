import { sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import { acceptedManifests as manifestTypes } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Database } from './database.ts'
import type { ImageRow, Images, PartRow } from './metadata.ts'

interface Row {
  repository: RepositoryName
  name: Tag
  digest: Digest
  /** JSON: bytes that are here, and how many parts are not. */
  parts: string
  used_at: number | null
}

interface Part {
  digest: Digest
  depth: number
  size: number
  is_here: number
  is_manifest: number
}

export function createImages({ query }: Database): Images {
  return {
    async list(after, limit) {
      const from = after ? sql`and (repository, name) > (${after.repository}, ${after.tag})` : sql``
      const { rows } = await sql<Row>`
        with page as (
          select repository, name, digest from tag
          where name not like '%:%' ${from}
          order by repository, name limit ${limit}
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
    async parts(root) {
      const { rows } = await sql<Part>`
        with recursive part (digest, depth) as (
          select ${root}, 0
          union
          select reference.child, part.depth + 1
          from part join reference on reference.parent = part.digest
          where part.depth < 3
        )
        select
          part.digest,
          max(part.depth) as depth,
          coalesce(
            stored.size,
            (select max(size) from reference where reference.child = part.digest),
            0
          ) as size,
          stored.digest is not null as is_here,
          (
            exists (select 1 from manifest where manifest.digest = part.digest)
            or exists (
              select 1 from reference
              where reference.child = part.digest and reference.media_type in (${sql.join(manifestTypes)})
            )
          ) as is_manifest
        from part left join stored on stored.digest = part.digest
        group by part.digest
        order by depth, part.digest`.execute(query)
      return rows.map(partOf)
    },
  }
}

function partOf({ digest, depth, size, is_here, is_manifest }: Part): PartRow {
  return { digest, kind: is_manifest ? 'manifest' : 'blob', size, depth, isHere: is_here !== 0 }
}

function imageOf({ repository, name, digest, parts, used_at }: Row): ImageRow {
  const [bytes, missing]: [number, number] = JSON.parse(parts)
  return { repository, tag: name, digest, bytes, missing, ...(used_at !== null && { usedAt: used_at }) }
}
