import { open, rename, rm } from 'node:fs/promises'
import { messageOf } from '../flow/message-of.ts'
import type { Digest } from '../oci/digest.ts'
import { createSqliteConnection, type SqliteConnection } from './sqlite-connection.ts'

/**
 * What the database holds at this moment, as a database of its own: whole or not there, also when the power fails. Who
 * reads and writes meanwhile is not disturbed.
 * @throws naming `copy` when it cannot be written; what was there before is then still there
 */
export async function copyDatabase(connection: Pick<SqliteConnection, 'query'>, copy: string): Promise<void> {
  const draft = `${copy}.new`
  try {
    // SQLite fills an empty file, whose mode it leaves as it is.
    await (await open(draft, 'w', 0o600)).close()
    await connection.query('vacuum into ?', [draft])
    const written = await open(draft, 'r+')
    try {
      await written.sync()
    } finally {
      await written.close()
    }
    await rename(draft, copy)
  } catch (cause) {
    await rm(draft, { force: true })
    throw new Error(`cannot copy the database to ${copy}: ${messageOf(cause)}`, {
      cause,
    })
  }
}

/** The same for a database that is in use elsewhere, or by nobody. */
export async function copyUsedDatabase(file: string, copy: string): Promise<void> {
  await reading(file, (connection) => copyDatabase(connection, copy))
}

/** As {@link copyUsedDatabase}. @returns the digests of what is stored, as the copy has them */
export async function copyOfDatabase(file: string, copy: string): Promise<Digest[]> {
  await copyUsedDatabase(file, copy)
  const { rows } = await reading(copy, (it) => it.query('select digest from stored order by digest', []))
  return (rows as { digest: Digest }[]).map(({ digest }) => digest)
}

async function reading<Value>(file: string, read: (it: SqliteConnection) => Promise<Value>): Promise<Value> {
  const connection = createSqliteConnection({ file, access: 'read', durability: 'full' })
  try {
    return await read(connection)
  } finally {
    await connection.close()
  }
}
