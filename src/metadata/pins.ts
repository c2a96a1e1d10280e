import type { Database } from './database.ts'
import type { Pins } from './metadata.ts'

export function createPins({ query, write }: Database): Pins {
  return {
    async list() {
      const rows = await query.selectFrom('pin').selectAll().orderBy('pattern').execute()
      return rows.map(({ pattern, created_at }) => ({ pattern, createdAt: created_at }))
    },
    add: ({ pattern, createdAt }) =>
      write([
        query
          .insertInto('pin')
          .values({ pattern, created_at: createdAt })
          .onConflict((conflict) => conflict.doNothing())
          .compile(),
      ]),
    remove: (pattern) => write([query.deleteFrom('pin').where('pattern', '=', pattern).compile()]),
  }
}
