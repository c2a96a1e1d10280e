import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { copyDatabase } from './copy-database.ts'
import * as content from './migrations/0001-content.ts'
import * as stored from './migrations/0002-stored.ts'
import * as checked from './migrations/0003-checked.ts'
import * as pins from './migrations/0004-pins.ts'
import * as referrers from './migrations/0005-referrers.ts'
import * as linked from './migrations/0006-linked.ts'
import * as ownTags from './migrations/0007-own-tags.ts'
import type { SqliteConnection } from './sqlite-connection.ts'
import { createSqliteDialect } from './sqlite-dialect.ts'

/** In the order of their names; what has been released is never changed again. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001-content': content,
  '0002-stored': stored,
  '0003-checked': checked,
  '0004-pins': pins,
  '0005-referrers': referrers,
  '0006-linked': linked,
  '0007-own-tags': ownTags,
}

/**
 * Brings the tables of `file` up to date, all steps or none. A copy of what they held before stays beside it, for who
 * goes back to the version that wrote that.
 * @throws before anything is changed when the data holds a step that this program does not know.
 */
export async function migrate(connection: SqliteConnection, file: string): Promise<void> {
  const database = new Kysely<unknown>({ dialect: createSqliteDialect(connection, { exclusive: true }) })
  const applied = await appliedMigrations(database)
  const known = Object.keys(migrations)
  if (applied.some((name) => !known.includes(name))) throw newerData(file, applied, await copiesOf(file))
  const before = applied.at(-1)
  const isBehind = before !== undefined && before !== known.at(-1)
  if (isBehind) await copyDatabase(connection, copyOf(file, before))
  const migrator = new Migrator({
    db: database,
    provider: { getMigrations: async () => ({ ...migrations }) },
  })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
  if (isBehind) await keepOnly(file, copyOf(file, before))
}

/** Of the database as it was when `schema` was the newest step in it. */
function copyOf(file: string, schema: string): string {
  return `${file}.${schema}`
}

async function copiesOf(file: string): Promise<string[]> {
  const names = await readdir(dirname(file))
  const isCopy = (name: string) => name.startsWith(`${basename(file)}.`) && /\.\d{4}-[\w-]+$/.test(name)
  return names.filter(isCopy).map((name) => join(dirname(file), name))
}

/** Going back is for one version. */
async function keepOnly(file: string, copy: string): Promise<void> {
  for (const other of await copiesOf(file)) if (other !== copy) await rm(other, { force: true })
}

/** One line that says what can be done. */
function newerData(file: string, applied: readonly string[], copies: readonly string[]): Error {
  const newest = Object.keys(migrations).at(-1) ?? ''
  const copy = copyOf(file, newest)
  const wayBack = copies.includes(copy)
    ? `to go back to what it held before that: rm -f ${file}-wal ${file}-shm && mv ${copy} ${file}`
    : 'take that version again, or a backup from before it'
  return new Error(
    `the data in ${dirname(file)} was written by a newer Outport (schema ${applied.at(-1)}, this one knows up to ${newest}); ${wayBack}`,
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
