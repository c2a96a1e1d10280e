import { dirname } from 'node:path'
import { type Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import * as content from './migrations/0001-content.ts'
import * as stored from './migrations/0002-stored.ts'
import * as checked from './migrations/0003-checked.ts'

/** In the order of their names; what has been released is never changed again. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001-content': content,
  '0002-stored': stored,
  '0003-checked': checked,
}

/**
 * Brings the tables of `file` up to date, all steps or none.
 * @throws before anything is changed when the data holds a step that this program does not know.
 */
export async function migrate(database: Kysely<unknown>, file: string): Promise<void> {
  await refuseNewerData(database, file)
  const migrator = new Migrator({
    db: database,
    provider: { getMigrations: async () => ({ ...migrations }) },
  })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
}

async function refuseNewerData(database: Kysely<unknown>, file: string): Promise<void> {
  const known = Object.keys(migrations)
  const applied = await appliedMigrations(database)
  const newest = applied.filter((name) => !known.includes(name)).at(-1)
  if (newest === undefined) return
  throw new Error(
    `the data in ${dirname(file)} was written by a newer Outport (schema ${newest}, this one knows up to ${known.at(-1)})`,
  )
}

async function appliedMigrations(database: Kysely<unknown>): Promise<string[]> {
  const tables =
    await sql`select 1 from sqlite_master where type = 'table' and name = 'kysely_migration'`.execute(
      database,
    )
  if (tables.rows.length === 0) return []
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(
    database,
  )
  return rows.map((row) => row.name)
}
