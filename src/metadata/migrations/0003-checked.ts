import type { Kysely } from 'kysely'

/** What is stored has not been looked at since it came, as far as is known. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .alterTable('stored')
    .addColumn('checked_at', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await database.schema
    .createIndex('stored_checked_at')
    .on('stored')
    .columns(['checked_at', 'digest'])
    .execute()
}
