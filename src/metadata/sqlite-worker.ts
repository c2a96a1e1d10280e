import { parentPort, workerData } from 'node:worker_threads'
import Sqlite from 'better-sqlite3'
import type { Answer, Call, ConnectionOptions, Fault, GroupAnswer, Write } from './sqlite-calls.ts'

const maxStatements = 128
const busyTimeoutMs = 5000

const options = workerData as ConnectionOptions
const port = parentPort
let opened: Sqlite.Database | undefined
const statements = new Map<string, Sqlite.Statement>()

port?.on('message', ({ id, call }: { id: number; call: Call }) => {
  try {
    port.postMessage({ id, value: answer(call) })
  } catch (error) {
    port.postMessage({ id, fault: faultOf(error) })
  }
  if (call.kind === 'close') port.close()
})

function answer(call: Call): Answer | GroupAnswer | undefined {
  switch (call.kind) {
    case 'query':
      return run(call.sql, call.parameters)
    case 'group':
      return writeGroup(call.writes)
    case 'close':
      opened?.close()
      return undefined
    default:
      return call satisfies never
  }
}

/** Opened by the first call, so that a failure to open is that call's answer. */
function database(): Sqlite.Database {
  opened ??= open()
  return opened
}

function open(): Sqlite.Database {
  const readonly = options.access === 'read'
  const connection = new Sqlite(options.file, { readonly, fileMustExist: true, timeout: busyTimeoutMs })
  try {
    connection.pragma('cache_size = -2048')
    if (readonly) return connection
    const mode = connection.pragma('journal_mode = wal', { simple: true })
    if (mode !== 'wal')
      throw new Error(`the file system cannot hold a write-ahead log (journal mode ${mode})`)
    // Said aloud, because SQLite is built here with a weaker default for write-ahead logs.
    connection.pragma(`synchronous = ${options.durability === 'full' ? 'full' : 'normal'}`)
    connection.pragma('foreign_keys = on')
    connection.pragma('journal_size_limit = 16777216')
    return connection
  } catch (error) {
    connection.close()
    throw error
  }
}

function run(sql: string, parameters: readonly unknown[]): Answer {
  const statement = prepared(sql)
  if (statement.reader) return { rows: statement.all(...parameters), changes: 0 }
  return { rows: [], changes: statement.run(...parameters).changes }
}

/** Least recently used statements go first. */
function prepared(sql: string): Sqlite.Statement {
  const statement = statements.get(sql) ?? database().prepare(sql)
  statements.delete(sql)
  statements.set(sql, statement)
  const [oldest] = statements.keys()
  if (statements.size > maxStatements && oldest !== undefined) statements.delete(oldest)
  return statement
}

/** One transaction for all; when the disk is full for all of them together, one for each. */
function writeGroup(writes: readonly Write[]): GroupAnswer {
  try {
    return { outcomes: commit(writes), commits: 1 }
  } catch (error) {
    const fault = faultOf(error)
    if (fault.code !== 'SQLITE_FULL' || writes.length === 1)
      return { outcomes: writes.map(() => fault), commits: 0 }
    const alone = writes.map((write) => writeGroup([write]))
    return {
      outcomes: alone.flatMap((each) => each.outcomes),
      commits: alone.reduce((sum, each) => sum + each.commits, 0),
    }
  }
}

function commit(writes: readonly Write[]): GroupAnswer['outcomes'] {
  run('begin immediate', [])
  try {
    const outcomes = writes.map(attempt)
    run('commit', [])
    return outcomes
  } catch (error) {
    if (database().inTransaction) run('rollback', [])
    throw error
  }
}

/** A write that fails takes back what it did; some faults, such as a full disk, end the whole transaction. */
function attempt(write: Write): Fault | undefined {
  run('savepoint each', [])
  try {
    for (const { sql, runs } of write) for (const parameters of runs) run(sql, parameters)
    run('release each', [])
    return undefined
  } catch (error) {
    if (!database().inTransaction) throw error
    run('rollback to each', [])
    run('release each', [])
    return faultOf(error)
  }
}

function faultOf(error: unknown): Fault {
  if (!(error instanceof Error)) return { message: String(error), code: undefined }
  return { message: error.message, code: 'code' in error ? String(error.code) : undefined }
}
