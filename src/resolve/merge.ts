/** A page of a listing. `last`: there is more behind it. */
export interface Page<Item, Last = Item> {
  items: Item[]
  last?: Last
}

/**
 * Two pages that begin behind the same item as one, in byte order, each thing once: of two with one key that of `one`. What
 * lies behind the end of a page whose listing goes on is left to the next.
 */
export function mergePages<Item, Key extends string>(
  one: Page<Item, Key>,
  other: Page<Item, Key>,
  keyOf: (item: Item) => Key,
): Page<Item, Key> {
  const [last] = [one.last, other.last].filter((each) => each !== undefined).sort()
  const upTo = ({ last: end }: Page<Item, Key>) => {
    return (item: Item) => end === undefined || keyOf(item) <= end
  }
  // By the other's end alone: a registry may list in an order of its own.
  const items = [...other.items.filter(upTo(one)), ...one.items.filter(upTo(other))]
  const byKey = new Map(items.map((item) => [keyOf(item), item]))
  const sorted = [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item)
  return { items: sorted, ...(last !== undefined && { last }) }
}

/** Its first `n` items. */
export function cutPage<Item, Key extends string>(
  page: Page<Item, Key>,
  n: number,
  keyOf: (item: Item) => Key,
): Page<Item, Key> {
  if (page.items.length <= n) return page
  const items = page.items.slice(0, n)
  const end = items.at(-1)
  return { items, ...(end !== undefined && { last: keyOf(end) }) }
}
