import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type DialectAdapter,
  type Driver,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { SqliteConnection } from './sqlite-connection.ts'

/**
 * Kysely on a connection in another thread. `exclusive` takes turns, as transactions need it; without it queries go out
 * as they come, and there are no transactions.
 */
export function createSqliteDialect(
  connection: Pick<SqliteConnection, 'query'>,
  { exclusive }: { exclusive: boolean },
): Dialect {
  return {
    createAdapter: () => adapter(exclusive),
    createDriver: () => driver(connection, exclusive),
    createIntrospector: (database) => new SqliteIntrospector(database),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}

function adapter(exclusive: boolean): DialectAdapter {
  return {
    supportsCreateIfNotExists: true,
    supportsMultipleConnections: !exclusive,
    // Kysely's own adapter denies it; SQLite rolls `create table` back like anything else.
    supportsTransactionalDdl: true,
    supportsReturning: true,
    async acquireMigrationLock() {},
    async releaseMigrationLock() {},
  }
}

function driver(connection: Pick<SqliteConnection, 'query'>, exclusive: boolean): Driver {
  const only: DatabaseConnection = {
    async executeQuery<Row>({ sql, parameters }: CompiledQuery) {
      const { rows, changes } = await connection.query(sql, parameters)
      return { rows: rows as Row[], numAffectedRows: BigInt(changes) }
    },
    // biome-ignore lint/correctness/useYield: what is long is read by pages
    async *streamQuery() {
      throw new Error('a database thread does not stream')
    },
  }
  return {
    async init() {},
    acquireConnection: async () => only,
    async beginTransaction() {
      // Everybody else's queries would run inside it.
      if (!exclusive) throw new Error('a transaction needs a connection of its own')
      await only.executeQuery(CompiledQuery.raw('begin immediate'))
    },
    async commitTransaction() {
      await only.executeQuery(CompiledQuery.raw('commit'))
    },
    async rollbackTransaction() {
      await only.executeQuery(CompiledQuery.raw('rollback'))
    },
    async releaseConnection() {},
    async destroy() {},
  }
}
