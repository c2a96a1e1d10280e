import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../../..')

/** What the schema of the next version is called. */
export const nextSchema = '9999-next'

const step = `import { type Kysely, sql } from 'kysely'

/** A column in a table that every pull writes, which this version does not know, and an index over all rows. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await database.schema.alterTable('link').addColumn('next', 'text', (column) => column.defaultTo('none')).execute()
  await sql\`update link set next = repository || digest\`.execute(database)
  await database.schema.createIndex('link_next').on('link').column('next').execute()
}
`

/** This program with one more step of its schema. @returns its entry, to be run by Node */
export async function makeNextVersion(folder: string): Promise<string> {
  for (const name of ['src', 'package.json', 'outport.js', 'policies'])
    await cp(join(root, name), join(folder, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  const list = join(folder, 'src/metadata/migrate.ts')
  const text = await readFile(list, 'utf8')
  const longer = text
    .replace(
      /^import .* from '\.\/migrations\//m,
      `import * as next from './migrations/${nextSchema}.ts'\n$&`,
    )
    .replace(/^const migrations[^}]*/m, `$&  '${nextSchema}': next,\n`)
  await writeFile(list, longer)
  await writeFile(join(folder, `src/metadata/migrations/${nextSchema}.ts`), step)
  return join(folder, 'outport.js')
}
