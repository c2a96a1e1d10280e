import { open, rename, rm } from 'node:fs/promises'
import type { SqliteConnection } from './sqlite-connection.ts'

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
    throw new Error(
      `cannot copy the database to ${copy}: ${cause instanceof Error ? cause.message : cause}`,
      {
        cause,
      },
    )
  }
}
