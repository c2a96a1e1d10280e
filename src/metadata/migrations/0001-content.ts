import { type Kysely, sql } from 'kysely'

export async function up(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .createTable('manifest')
    .addColumn('digest', 'text', (column) => column.primaryKey().notNull())
    .addColumn('media_type', 'text', (column) => column.notNull())
    .addColumn('size', 'integer', (column) => column.notNull())
    .modifyEnd(sql`strict, without rowid`)
    .execute()

  await database.schema
    .createTable('reference')
    .addColumn('parent', 'text', (column) =>
      column.notNull().references('manifest.digest').onDelete('cascade'),
    )
    .addColumn('child', 'text', (column) => column.notNull())
    .addColumn('media_type', 'text', (column) => column.notNull())
    .addColumn('size', 'integer', (column) => column.notNull())
    .addPrimaryKeyConstraint('reference_key', ['parent', 'child'])
    .modifyEnd(sql`strict, without rowid`)
    .execute()
  await database.schema.createIndex('reference_child').on('reference').column('child').execute()

  await database.schema
    .createTable('link')
    .addColumn('repository', 'text', (column) => column.notNull())
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('origin', 'text', (column) => column.notNull())
    .addColumn('created_at', 'integer', (column) => column.notNull())
    .addPrimaryKeyConstraint('link_key', ['repository', 'digest'])
    .modifyEnd(sql`strict, without rowid`)
    .execute()
  await database.schema.createIndex('link_digest').on('link').column('digest').execute()

  // distribution-spec, "Listing Tags": in lexical order. SQLite's own collation, spelled out, is that of the bytes.
  await database.schema
    .createTable('tag')
    .addColumn('repository', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull().modifyEnd(sql`collate binary`))
    .addColumn('digest', 'text', (column) => column.notNull())
    .addColumn('media_type', 'text', (column) => column.notNull())
    .addColumn('size', 'integer', (column) => column.notNull())
    .addColumn('checked_at', 'integer', (column) => column.notNull())
    .addColumn('withheld', 'text')
    .addPrimaryKeyConstraint('tag_key', ['repository', 'name'])
    .modifyEnd(sql`strict, without rowid`)
    .execute()
  await database.schema.createIndex('tag_digest').on('tag').column('digest').execute()
}
