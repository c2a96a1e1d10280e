import { type Kysely, sql } from 'kysely'

/** What was pushed until then is known by the link of what the tag stands for. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await database.schema
    .alterTable('tag')
    .addColumn('own', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await sql`
    update tag set own = 1
    where name not like '%:%' and exists (
      select 1 from link
      where link.repository = tag.repository and link.digest = tag.digest and link.origin <> 'filled'
    )`.execute(database)
}
