import { type Kysely, sql } from 'kysely'

/** Only what is pushed here is in it: of a mirrored repository upstream says what refers to what. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable('referrer')
    .addColumn('repository', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('artifact_type', 'text')
    .addColumn('descriptor', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('referrer_key', ['repository', 'subject', 'digest'])
    .modifyEnd(sql`strict, without rowid`)
    .execute()
  await database.schema
    .createIndex('referrer_digest')
    .on('referrer')
    .columns(['digest', 'repository'])
    .execute()
}
