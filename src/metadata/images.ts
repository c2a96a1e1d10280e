import { sql } from 'kysely'
import type { Digest } from '../oci/digest.ts'
import { acceptedManifests as manifestTypes, mediaTypes } from '../oci/manifest.ts'
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
/** An image's parts are named once each, by its own manifest; this is several times as fast as {@link partsOfIndex}. */
const partsOfImage = sql`(
  select json_array(
    coalesce(stored.size, 0) + coalesce(sum(part.size), 0),
    (stored.digest is null) + count(*) - count(part.digest)
  )
  from reference left join stored as part on part.digest = reference.child
  where reference.parent = page.digest
)`

/** Its images may share parts. */
const partsOfIndex = sql`(
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
)`

export function createImages({ query }: Database): Images {
  return {
    async list(after, limit) {
      const from = after ? sql`and (repository, name) > (${after.repository}, ${after.tag})` : sql``
      const { rows } = await sql<Row>`
        with page as materialized (
          select repository, name, digest, media_type from tag
          where name not like '%:%' ${from}
          order by repository, name limit ${limit}
        )
        select
          repository,
          name,
          page.digest,
          stored.used_at,
          case when media_type in (${mediaTypes.ociManifest}, ${mediaTypes.dockerManifest})
            then ${partsOfImage} else ${partsOfIndex} end as parts
        from page left join stored on stored.digest = page.digest
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
