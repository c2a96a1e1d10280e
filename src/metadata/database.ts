import { open } from 'node:fs/promises'
import { type Compilable, type CompiledQuery, Kysely } from 'kysely'
import { createHealth } from './health.ts'
import { migrate } from './migrate.ts'
import type { Schema } from './schema.ts'
import type { Durability, Statement, Write } from './sqlite-calls.ts'
import {
  closedError,
  createSqliteConnection,
  DatabaseError,
  type SqliteConnection,
} from './sqlite-connection.ts'
import { createSqliteDialect } from './sqlite-dialect.ts'
import { createWriteGroups } from './write-groups.ts'

export interface Database {
  /** Builds every query and runs those that read. It cannot write. */
  readonly query: Kysely<Schema>
  /** All of `queries` or none, after all earlier writes; durable when it resolves. */
  write(queries: readonly CompiledQuery[]): Promise<void>
  /** Transactions that writes have cost so far. */
  commits(): number
  /** What failed lately, and why, if anything did. */
  trouble(): string | undefined
  /** Waits for what was written and asked before. */
  close(): Promise<void>
}

export interface DatabaseOptions {
  /** Made when it is not there; its folder must be. */
  file: string
  durability: Durability
}

/** @throws when the file is damaged, cannot be opened, or holds data of a newer version; it is then as it was. */
export async function openDatabase({ file, durability }: DatabaseOptions): Promise<Database> {
  // SQLite gives its log the mode of the database, and the database that of the umask.
  await (await open(file, 'a', 0o600)).close()
  await using owned = new AsyncDisposableStack()
  const writer = createSqliteConnection({ file, access: 'write', durability })
  owned.defer(() => writer.close())
  const reader = createSqliteConnection({ file, access: 'read', durability })
  owned.defer(() => reader.close())
  await prepare(writer, reader, file)

  const held = owned.move()
  const health = createHealth()
  const watched = {
    query: (...call: Parameters<typeof reader.query>) => health.follow('read', reader.query(...call)),
  }
  const query = new Kysely<Schema>({ dialect: createSqliteDialect(watched, { exclusive: false }) })
  let commits = 0
  const groups = createWriteGroups(async (writes: Write[]) => {
    const answer = await health.follow('written', writer.group(writes))
    commits += answer.commits
    for (const fault of answer.outcomes) if (fault) health.failed('written', fault)
    return answer.outcomes.map((fault) => fault && new DatabaseError(file, fault))
  })
  let closed: Promise<void> | undefined
  return {
    query,
    async write(queries) {
      if (closed) throw closedError(file)
      if (queries.length > 0) await groups.add(writeOf(queries))
    },
    commits: () => commits,
    trouble: health.trouble,
    close() {
      closed ??= groups.settled().then(() => held.disposeAsync())
      return closed
    },
  }
}

/**
 * One statement for all `rows`, which name the columns in the same order. Building it anew for each would hold up the
 * serving thread: an index can have tens of thousands of children.
 */
export function forEachRow<Row extends object>(
  rows: readonly Row[],
  build: (row: Row) => Compilable,
): CompiledQuery[] {
  const [first] = rows
  if (!first) return []
  const compiled = build(first).compile()
  return rows.map((row) => ({ ...compiled, parameters: Object.values(row) }))
}

async function prepare(writer: SqliteConnection, reader: SqliteConnection, file: string): Promise<void> {
  try {
    await migrate(writer, file)
    await reader.query('select count(*) from sqlite_master', [])
  } catch (error) {
    if (
      error instanceof DatabaseError &&
      (error.code === 'SQLITE_NOTADB' || error.code?.startsWith('SQLITE_CORRUPT'))
    ) {
      throw new Error(`the database ${file} is damaged (${error.code})`, { cause: error })
    }
    throw error
  }
}

function writeOf(queries: readonly CompiledQuery[]): Write {
  const statements: Statement[] = []
  for (const { sql, parameters } of queries) {
    const last = statements.at(-1)
    if (last?.sql === sql) last.runs.push(parameters)
    else statements.push({ sql, runs: [parameters] })
  }
  return statements
}
