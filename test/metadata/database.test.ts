import { readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { CompiledQuery, sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { type Database, openDatabase } from '../../src/metadata/database.ts'
import type { Metadata } from '../../src/metadata/metadata.ts'
import { openMetadata } from '../../src/metadata/open-metadata.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { canMount, mountTmpfs } from '../support/tmpfs.ts'
import { recordOf } from './support/records.ts'

async function temporaryDatabase() {
  const directory = await temporaryDirectory()
  const file = join(directory.path, 'outport.db')
  const database = await openDatabase({ file, durability: 'full' })
  return {
    file,
    database,
    async [Symbol.asyncDispose]() {
      await database.close()
      await directory[Symbol.asyncDispose]()
    },
  }
}

function insertManifest(database: Database, number: number, mediaType: string | null = 'm') {
  const { digest, size } = recordOf(number)
  return database.query
    .insertInto('manifest')
    .values({ digest, media_type: mediaType as string, size })
    .compile()
}

async function countManifests({ query }: Database): Promise<number> {
  const { count } = await query
    .selectFrom('manifest')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return count
}

describe('groups', () => {
  test('2,000 writes at once cost a few transactions', async () => {
    await using opened = await temporaryDatabase()
    const { database } = opened
    await Promise.all(
      Array.from({ length: 2000 }, (_, number) => database.write([insertManifest(database, number)])),
    )

    expect(await countManifests(database)).toBe(2000)
    expect(database.commits()).toBeLessThanOrEqual(4)
  })

  test('a write that fails takes back all of itself and nothing of its neighbours', async () => {
    await using opened = await temporaryDatabase()
    const { database } = opened
    const outcomes = await Promise.allSettled([
      database.write([insertManifest(database, 1)]),
      database.write([insertManifest(database, 2), insertManifest(database, 3, null)]),
      database.write([insertManifest(database, 4)]),
    ])

    expect(outcomes.map((each) => each.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'SQLITE_CONSTRAINT_NOTNULL' } })
    expect(database.commits()).toBe(1)
    expect(await countManifests(database)).toBe(2)
  })

  test('when the database is full, what fits is kept and the rest is told so, each for itself', async () => {
    await using opened = await temporaryDatabase()
    const { database } = opened
    await database.write([CompiledQuery.raw('pragma max_page_count = 40')])

    const fat = 'm'.repeat(60_000)
    const outcomes = await Promise.allSettled([
      database.write([insertManifest(database, 1)]),
      database.write([insertManifest(database, 2, fat), insertManifest(database, 3, fat)]),
      database.write([insertManifest(database, 4)]),
    ])

    expect(outcomes.map((each) => each.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'SQLITE_FULL' } })
    expect(await countManifests(database)).toBe(2)
  })

  test('the reading side cannot write', async () => {
    await using opened = await temporaryDatabase()
    const { query } = opened.database
    await expect(query.deleteFrom('manifest').execute()).rejects.toMatchObject({ code: 'SQLITE_READONLY' })
    await expect(query.transaction().execute(async () => {})).rejects.toThrow('a connection of its own')
  })
})

describe('reading and writing at once', () => {
  /** Some seconds of work for SQLite. */
  const countTo = (rows: number) =>
    sql`with recursive n(i) as (select 1 union all select i + 1 from n where i < ${sql.lit(rows)}) select max(i) from n`

  test('a long scan does not hold up a write', async () => {
    await using opened = await temporaryDatabase()
    const { database } = opened
    const order: string[] = []
    const scan = countTo(8_000_000)
      .execute(database.query)
      .then(() => order.push('scan'))
    await database.write([insertManifest(database, 1)]).then(() => order.push('write'))
    await scan

    expect(order).toEqual(['write', 'scan'])
  })

  test('a long write does not hold up a read', async () => {
    await using opened = await temporaryDatabase()
    const { database } = opened
    const order: string[] = []
    const many =
      sql`insert into link select 'r' || i, 'd', 'filled', 0 from (${countToAll(1_000_000)})`.compile(
        database.query,
      )
    const write = database.write([many]).then(() => order.push('write'))
    expect(await countManifests(database)).toBe(0)
    order.push('read')
    await write

    expect(order).toEqual(['read', 'write'])
  })

  function countToAll(rows: number) {
    return sql`with recursive n(i) as (select 1 union all select i + 1 from n where i < ${sql.lit(rows)}) select i from n`
  }
})

describe('a thread that dies', () => {
  /** More than it may hold in memory. */
  const fatal =
    CompiledQuery.raw(`with recursive n(i) as (select 1 union all select i + 1 from n where i < 400)
    select printf('%.*c', 1000000, 'x') from n`)

  test('rejects what it was asked, and the next read is answered again', async () => {
    await using opened = await temporaryDatabase()
    const { database } = opened
    const outcomes = await Promise.allSettled([database.query.executeQuery(fatal), countManifests(database)])

    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: 'THREAD_ENDED' } })
    await database.write([insertManifest(database, 1)])
    expect(await countManifests(database)).toBe(1)
  })

  test('in the middle of a write: its callers are told, nothing of it is there, and the next write is kept', async () => {
    await using opened = await temporaryDatabase()
    const { database } = opened
    const lost = database.write([insertManifest(database, 1), fatal])

    await expect(lost).rejects.toMatchObject({ code: 'THREAD_ENDED' })
    await database.write([insertManifest(database, 2)])
    expect(await countManifests(database)).toBe(1)
  })
})

describe('opening', () => {
  test('the file and its log are for this user only', async () => {
    await using opened = await temporaryDatabase()
    const { database, file } = opened
    await database.write([insertManifest(database, 1)])
    for (const each of [file, `${file}-wal`, `${file}-shm`])
      expect((await stat(each)).mode & 0o777, each).toBe(0o600)
  })

  test('data of a newer version is refused in one line and stays as it was', async () => {
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'outport.db')
    await (await openDatabase({ file, durability: 'full' })).close()
    const newer = new Sqlite(file)
    newer.exec(`insert into kysely_migration values ('9999-later', '2031-01-01T00:00:00.000Z')`)
    newer.close()
    const before = await readFile(file)

    await expect(openMetadata({ file, durability: 'full' })).rejects.toThrow(
      `the data in ${directory.path} was written by a newer Outport (schema 9999-later, this one knows up to 0007-own-tags)`,
    )
    expect(before.equals(await readFile(file))).toBe(true)
  })

  test('a file that is no database is named and stays as it was', async () => {
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'outport.db')
    await writeFile(file, 'not a database at all, but long enough to look for a header in it'.repeat(100))
    const before = await readFile(file)

    await expect(openDatabase({ file, durability: 'full' })).rejects.toThrow(
      `the database ${file} is damaged (SQLITE_NOTADB)`,
    )
    expect(before.equals(await readFile(file))).toBe(true)
  })

  test('a database that lost its end is named', async () => {
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'outport.db')
    await (await openDatabase({ file, durability: 'full' })).close()
    await truncate(file, 5000)

    await expect(openDatabase({ file, durability: 'full' })).rejects.toThrow(
      `the database ${file} is damaged (SQLITE_CORRUPT`,
    )
  })

  test('a folder that is not there is an error that names the file', async () => {
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'missing', 'outport.db')
    await expect(openDatabase({ file, durability: 'full' })).rejects.toThrow(file)
  })

  test('what an older version linked and did not note as stored is noted, of the size that a manifest says', async () => {
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'outport.db')
    await (await openDatabase({ file, durability: 'full' })).close()
    const older = new Sqlite(file)
    older.exec(`
      delete from kysely_migration where name >= '0006';
      alter table tag drop column own;
      insert into manifest (digest, media_type, size) values ('sha256:m', 'm', 527);
      insert into reference (parent, child, media_type, size) values ('sha256:m', 'sha256:layer', 'l', 3000000000000);
      insert into stored (digest, size, used_at) values ('sha256:noted', 5, 9);
      insert into link (repository, digest, origin, created_at) values
        ('a', 'sha256:m', 'filled', 1), ('a', 'sha256:layer', 'filled', 2), ('b', 'sha256:layer', 'filled', 3),
        ('a', 'sha256:noted', 'filled', 4), ('a', 'sha256:unknown', 'filled', 5)`)
    older.close()

    await using metadata = disposable(await openMetadata({ file, durability: 'full' }))
    expect(await metadata.stored.leastUsed(undefined, 10)).toEqual([
      { digest: 'sha256:m', size: 527, usedAt: 1 },
      { digest: 'sha256:layer', size: 3_000_000_000_000, usedAt: 3 },
      { digest: 'sha256:unknown', size: 0, usedAt: 5 },
      { digest: 'sha256:noted', size: 5, usedAt: 9 },
    ])
  })

  test('what an older version has tagged is own where it was pushed, and no listing of referrers is', async () => {
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'outport.db')
    await (await openDatabase({ file, durability: 'full' })).close()
    const older = new Sqlite(file)
    older.exec(`
      delete from kysely_migration where name >= '0007';
      alter table tag drop column own;
      insert into link (repository, digest, origin, created_at) values
        ('team/app', 'sha256:a', 'pushed', 1), ('team/app', 'sha256:b', 'mounted', 1),
        ('docker.io/app', 'sha256:a', 'filled', 1);
      insert into tag (repository, name, digest, media_type, size, checked_at) values
        ('team/app', 'pushed', 'sha256:a', 'm', 1, 1), ('team/app', 'mounted', 'sha256:b', 'm', 1, 1),
        ('team/app', 'referrers:sha256:a', 'sha256:a', 'm', 1, 1),
        ('docker.io/app', 'mirrored', 'sha256:a', 'm', 1, 1), ('docker.io/app', 'gone', 'sha256:c', 'm', 1, 1)`)
    older.close()

    const metadata = await openMetadata({ file, durability: 'full' })
    const own = ['team/app', 'docker.io/app'].map((name) =>
      metadata.tags.list(parseRepositoryName(name), undefined, 10, 'own'),
    )
    expect(await Promise.all(own)).toEqual([['mounted', 'pushed'], []])
    await metadata.close()
  })

  test('a migration that was cut off is done again as a whole', async () => {
    await using directory = await temporaryDirectory()
    const file = join(directory.path, 'outport.db')
    // As after a kill inside the migration's transaction: Kysely's own tables, and nothing of ours.
    const cut = new Sqlite(file)
    cut.exec(
      `create table kysely_migration (name varchar(255) not null primary key, timestamp varchar(255) not null)`,
    )
    cut.exec(
      `create table kysely_migration_lock (id varchar(255) not null primary key, is_locked integer default 0 not null)`,
    )
    cut.exec('begin; create table manifest (digest text)')
    cut.close()

    const database = await openDatabase({ file, durability: 'full' })
    expect(await countManifests(database)).toBe(0)
    await database.close()
  })
})

test.skipIf(!canMount())(
  'tmpfs: a full disk rejects writes, keeps what was acknowledged, and heals with space',
  async () => {
    await using disk = await mountTmpfs('2m')
    const file = join(disk.path, 'outport.db')
    const ballast = join(disk.path, 'ballast')
    const kept: number[] = []
    const failures: unknown[] = []
    {
      await using metadata = disposable(await openMetadata({ file, durability: 'full' }))
      await writeFile(ballast, Buffer.alloc(1_000_000))
      for (let number = 0; failures.length < 3; number++) {
        await metadata.recordManifest(recordOf(number, 40)).then(
          () => kept.push(number),
          (error) => failures.push(error),
        )
      }
      expect(kept.length).toBeGreaterThan(0)
      const { repository, digest } = recordOf(kept.at(-1) ?? 0)
      expect(await metadata.links.find(repository, digest)).toBeDefined()

      await truncate(ballast, 0)
      await metadata.recordManifest(recordOf(1_000_000))
    }
    await using again = disposable(await openMetadata({ file, durability: 'full' }))
    for (const number of [...kept, 1_000_000]) {
      expect(await again.manifests.find(recordOf(number).digest), `record ${number}`).toBeDefined()
    }
  },
)

function disposable(metadata: Metadata): Metadata & AsyncDisposable {
  return { ...metadata, [Symbol.asyncDispose]: () => metadata.close() }
}
