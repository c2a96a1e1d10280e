import { type CompiledQuery, sql } from 'kysely'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Database } from './database.ts'
import type { TagRow, Tags } from './metadata.ts'
import { createRowCache } from './row-cache.ts'
import type { TagTable } from './schema.ts'

/** The tags, and the two halves of `put` for a write that holds more than a tag. */
export interface TagRows extends Tags {
  upsert(row: TagRow): CompiledQuery
  remember(row: TagRow, written: Promise<void>): void
  removed(repository: RepositoryName, tag: Tag, written: Promise<void>): void
}

export function createTags({ query, write }: Database, cacheEntries: number): TagRows {
  const cache = createRowCache<TagRow>(cacheEntries, (there) => !there.own)

  function upsert(row: TagRow): CompiledQuery {
    const { repository, name, ...values } = columnsOf(row)
    return query
      .insertInto('tag')
      .values({ repository, name, ...values })
      .onConflict((conflict) =>
        conflict
          .columns(['repository', 'name'])
          .doUpdateSet(values)
          .where(sql<boolean>`tag.own <= excluded.own`),
      )
      .compile()
  }

  function remember(row: TagRow, written: Promise<void>): void {
    const note = row.own ? cache.replaced : cache.added
    note(keyOf(row.repository, row.tag), rowOf(columnsOf(row)), written)
  }

  async function load(repository: RepositoryName, tag: Tag): Promise<TagRow | undefined> {
    const columns = await query
      .selectFrom('tag')
      .selectAll()
      .where('repository', '=', repository)
      .where('name', '=', tag)
      .executeTakeFirst()
    return columns && rowOf(columns)
  }

  return {
    upsert,
    remember,
    removed: (repository, tag, written) => cache.removed(keyOf(repository, tag), written),
    find: (repository, tag) => cache.find(keyOf(repository, tag), () => load(repository, tag)),
    put(row) {
      const written = write([upsert(row)])
      remember(row, written)
      return written
    },
    async remove(repository, tag, digest) {
      const gone = query.deleteFrom('tag').where('repository', '=', repository).where('name', '=', tag)
      await write([gone.where('digest', '=', digest).compile()])
      cache.forgotten(keyOf(repository, tag))
    },
    async all(after, limit) {
      const every = query.selectFrom('tag').select(['repository', 'name', 'digest'])
      const rest = after
        ? every.where(({ eb, refTuple, tuple }) =>
            eb(refTuple('repository', 'name'), '>', tuple(after.repository, after.tag)),
          )
        : every
      const rows = await rest.orderBy('repository').orderBy('name').limit(limit).execute()
      return rows.map(({ repository, name, digest }) => ({ repository, tag: name, digest }))
    },
    async list(repository, after, limit, which) {
      const all = query
        .selectFrom('tag')
        .select('name')
        .where('repository', '=', repository)
        .where(sql<boolean>`name not like '%:%'`)
        .where('withheld', 'is', null)
      const meant = which === 'own' ? all.where('own', '=', 1) : all
      const rest = after === undefined ? meant : meant.where(sql<boolean>`name > ${after}`)
      const rows = await rest.orderBy('name').limit(limit).execute()
      return rows.map((row) => row.name)
    },
  }
}

function columnsOf({ repository, tag, digest, mediaType, size, checkedAt, withheld, own }: TagRow): TagTable {
  return {
    repository,
    name: tag,
    digest,
    media_type: mediaType,
    size,
    checked_at: checkedAt,
    withheld: withheld ?? null,
    own: own ? 1 : 0,
  }
}

function rowOf({ repository, name, digest, media_type, size, checked_at, withheld, own }: TagTable): TagRow {
  return Object.freeze({
    repository,
    tag: name,
    digest,
    mediaType: media_type,
    size,
    checkedAt: checked_at,
    ...(withheld !== null && { withheld }),
    ...(own === 1 && { own: true as const }),
  })
}

function keyOf(repository: RepositoryName, tag: Tag): string {
  return `${repository}:${tag}`
}
