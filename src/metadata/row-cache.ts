import { LRUCache } from 'lru-cache'

/** The last known rows of one table, absent ones too, kept true by the writes of this process. */
export interface RowCache<Row> {
  /** `load` reads the table; callers that ask for the same key while it runs share its answer. */
  find(key: string, load: () => Promise<Row | undefined>): Promise<Row | undefined>
  /** `row` takes the place of what is there. `find` answers with it from now on, and forgets it when `written` rejects. */
  replaced(key: string, row: Row, written: Promise<unknown>): void
  /** As `replaced`, but a row that is there already stays, unless it yields. */
  added(key: string, row: Row, written: Promise<unknown>): void
  /** There is no such row any more. As `replaced`. */
  removed(key: string, written: Promise<unknown>): void
  /** What is known of it is read again. */
  forgotten(key: string): void
}

/** `undefined`: not known without reading. */
type Known<Row> = { row: Row | undefined } | undefined

interface Write<Row> {
  /** `undefined`: gone. */
  row: Row | undefined
  replaces: boolean
  failed: boolean
}

/** Writes to one key that are not settled yet, oldest first, on top of what was known before them. */
interface Ahead<Row> {
  base: Known<Row>
  writes: Write<Row>[]
}

/**
 * Writes to one key that succeed settle in the order of their calls.
 * @param max bounds what is kept beyond the writes under way
 * @param yields whether a row that is there gives way to one that is added
 */
export function createRowCache<Row>(
  max: number,
  yields: (there: Row) => boolean = () => false,
): RowCache<Row> {
  const rows = new LRUCache<string, { row: Row | undefined }>({ max })
  const ahead = new Map<string, Ahead<Row>>()
  const reads = new Map<string, Promise<Row | undefined>>()

  function after(known: Known<Row>, { row, replaces }: Write<Row>): Known<Row> {
    if (replaces) return { row }
    return known && (known.row === undefined || yields(known.row)) ? { row } : known
  }

  async function read(key: string, load: () => Promise<Row | undefined>): Promise<Row | undefined> {
    const shared = reads.get(key)
    if (shared) return shared
    const reading = load()
    reads.set(key, reading)
    try {
      const row = await reading
      // A write that came meanwhile has taken this read out of `reads`: what it saw may be old.
      if (reads.get(key) === reading && !ahead.has(key)) rows.set(key, { row })
      return row
    } finally {
      if (reads.get(key) === reading) reads.delete(key)
    }
  }

  function note(key: string, write: Write<Row>, written: Promise<unknown>): void {
    const entry = ahead.get(key) ?? { base: rows.get(key), writes: [] }
    entry.writes.push(write)
    ahead.set(key, entry)
    rows.delete(key)
    reads.delete(key)
    written.then(
      () => settle(key, entry, write),
      () => {
        write.failed = true
        settle(key, entry, write)
      },
    )
  }

  function settle(key: string, entry: Ahead<Row>, write: Write<Row>): void {
    entry.base = write.failed ? undefined : after(entry.base, write)
    entry.writes.splice(entry.writes.indexOf(write), 1)
    if (entry.writes.length > 0) return
    ahead.delete(key)
    reads.delete(key)
    if (entry.base) rows.set(key, entry.base)
  }

  return {
    async find(key, load) {
      const entry = ahead.get(key)
      const known = entry ? entry.writes.reduce(after, entry.base) : rows.get(key)
      if (known) return known.row
      const hoped = [...(entry?.writes ?? [])]
      const stored = await read(key, load)
      return hoped.filter(({ failed }) => !failed).reduce(after, { row: stored })?.row
    },
    replaced: (key, row, written) => note(key, { row, replaces: true, failed: false }, written),
    added: (key, row, written) => note(key, { row, replaces: false, failed: false }, written),
    removed: (key, written) => note(key, { row: undefined, replaces: true, failed: false }, written),
    forgotten(key) {
      rows.delete(key)
      reads.delete(key)
      const entry = ahead.get(key)
      if (entry) entry.base = undefined
    },
  }
}
