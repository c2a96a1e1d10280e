import { flushCompileCache } from 'node:module'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import './sqlite-worker.ts'
import type { Answer, Call, ConnectionOptions, Fault, GroupAnswer, Write } from './sqlite-calls.ts'

/** A database connection in a thread of its own: a slow disk holds up that thread only. */
export interface SqliteConnection {
  query(sql: string, parameters: readonly unknown[]): Promise<Answer>
  /** The writes are one transaction, in which each can fail alone. */
  group(writes: readonly Write[]): Promise<GroupAnswer>
  /** Waits for the calls that were made before it. */
  close(): Promise<void>
}

export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  /** SQLite's name of the fault, or `THREAD_ENDED` when nobody knows whether the call was carried out. */
  readonly code: string | undefined

  constructor(file: string, { message, code }: Fault, options?: ErrorOptions) {
    super(`${file}: ${message}`, options)
    this.code = code
  }
}

/** Starts the thread; a thread that dies rejects its calls, and the next call starts another one. */
export function createSqliteConnection(options: ConnectionOptions): SqliteConnection {
  let thread: Thread | undefined = startThread(options)
  let closed: Promise<void> | undefined

  async function call(message: Call): Promise<unknown> {
    if (closed) throw closedError(options.file)
    if (!thread || thread.hasEnded()) thread = startThread(options)
    return thread.call(message)
  }

  async function close(): Promise<void> {
    if (!thread || thread.hasEnded()) return
    await thread.call({ kind: 'close' })
    await thread.ended
  }

  return {
    query: (sql, parameters) => call({ kind: 'query', sql, parameters }) as Promise<Answer>,
    group: (writes) => call({ kind: 'group', writes }) as Promise<GroupAnswer>,
    close() {
      closed ??= close()
      return closed
    },
  }
}

export function closedError(file: string): DatabaseError {
  return new DatabaseError(file, { message: 'the database is closed', code: 'CLOSED' })
}

interface Thread {
  call(message: Call): Promise<unknown>
  hasEnded(): boolean
  ended: Promise<void>
}

function startThread(options: ConnectionOptions): Thread {
  const source = new URL(`./sqlite-worker${extname(import.meta.url)}`, import.meta.url)
  const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 }
  // Threads that find their code in the compile cache need not load a type stripper, which takes 16 MiB in each.
  flushCompileCache()
  const worker = new Worker(source, { workerData: options, resourceLimits })
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  const ended = Promise.withResolvers<void>()
  let calls = 0
  let failure: DatabaseError | undefined

  function fail(cause?: unknown): void {
    const why = cause instanceof Error ? `: ${cause.message}` : ''
    failure ??= new DatabaseError(
      options.file,
      { message: `its thread has ended${why}`, code: 'THREAD_ENDED' },
      { cause },
    )
    for (const each of waiting.values()) each.reject(failure)
    waiting.clear()
  }

  worker.on('message', ({ id, value, fault }: { id: number; value?: unknown; fault?: Fault }) => {
    const answered = waiting.get(id)
    waiting.delete(id)
    if (fault) answered?.reject(new DatabaseError(options.file, fault))
    else answered?.resolve(value)
  })
  worker.on('error', fail)
  worker.on('exit', () => {
    fail()
    ended.resolve()
  })

  return {
    async call(message) {
      if (failure) throw failure
      const id = calls++
      worker.postMessage({ id, call: message })
      const answered = Promise.withResolvers<unknown>()
      waiting.set(id, answered)
      return answered.promise
    },
    hasEnded: () => failure !== undefined,
    ended: ended.promise,
  }
}
