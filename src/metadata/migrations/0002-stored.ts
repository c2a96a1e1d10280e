import { type Kysely, sql } from 'kysely'

/** The rows of what is linked by then come with `0006-linked`. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable('stored')
    .addColumn('digest', 'text', (column) => column.primaryKey().notNull())
    .addColumn('size', 'integer', (column) => column.notNull())
    .addColumn('used_at', 'integer', (column) => column.notNull())
    .modifyEnd(sql`strict, without rowid`)
    .execute()
  await database.schema.createIndex('stored_used_at').on('stored').columns(['used_at', 'digest']).execute()
}
