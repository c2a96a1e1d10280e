import { chmod, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { pid } from 'node:process'
import Sqlite from 'better-sqlite3'
import * as z from 'zod'
import { messageOf } from '../flow/message-of.ts'

/** This process owns a data directory. Keep it: an owner that is garbage owns nothing. */
export interface DataLock extends AsyncDisposable {
  readonly directory: string
}

const holderShape = z.object({ pid: z.number(), host: z.string(), since: z.string() })
type Holder = z.infer<typeof holderShape>

/**
 * The lock is a transaction on `node.lock`, which the system ends with the process however it dies. Who holds it stands
 * beside, in `node.lock.json`: a file that is only told, never believed. Nothing but SQLite may open `node.lock` in this
 * process: POSIX locks end when any descriptor of their file is closed (fcntl(2), "Advisory record locking").
 * @throws when another process, or this one, owns `directory` already.
 */
export async function lockDataDirectory(directory: string): Promise<DataLock> {
  const file = join(directory, 'node.lock')
  const note = `${file}.json`
  const lock = new Sqlite(file, { timeout: 0 })
  try {
    // Nothing is ever written: a journal on the disk would only be in the way when the disk is full.
    lock.pragma('journal_mode = memory')
    lock.exec('begin exclusive')
    await chmod(file, 0o600)
  } catch (cause) {
    lock.close()
    const told = isBusy(cause)
      ? `${directory} is in use by another Outport${await describe(note)}`
      : `cannot lock ${file}: ${messageOf(cause)}`
    throw new Error(told, { cause })
  }
  await tell(note)
  return {
    directory,
    async [Symbol.asyncDispose]() {
      if (!lock.open) return
      try {
        await rm(note, { force: true })
      } finally {
        lock.close()
      }
    },
  }
}

/** A full disk is no reason not to start: the note is then missing, and never an old one. */
async function tell(note: string): Promise<void> {
  const holder: Holder = { pid, host: hostname(), since: new Date().toISOString() }
  try {
    await writeFile(note, `${JSON.stringify(holder)}\n`, { mode: 0o600 })
  } catch {
    await rm(note, { force: true })
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')
}

/** Nothing when it cannot be told: the holder may just be coming or going. */
async function describe(note: string): Promise<string> {
  try {
    const { pid, host, since } = holderShape.parse(JSON.parse(await readFile(note, 'utf8')))
    return ` (process ${pid} on ${host}, since ${since})`
  } catch {
    return ''
  }
}
