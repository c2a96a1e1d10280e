/** What must not go while somebody is at work on it, and what is about to go. */
export interface Holds<Key> {
  /** Nobody may {@link claim} `key` until this is disposed of. Waits while it is claimed. */
  hold(key: Key): Promise<Disposable>
  /** Those of `keys` that nobody holds or has claimed are the caller's alone until this is disposed of. */
  claim(keys: Iterable<Key>): Claim<Key>
}

export interface Claim<Key> extends Disposable {
  readonly keys: ReadonlySet<Key>
}

export function createHolds<Key>(): Holds<Key> {
  const held = new Map<Key, number>()
  const claims = new Map<Key, Promise<void>>()

  return {
    async hold(key) {
      for (let claim = claims.get(key); claim; claim = claims.get(key)) await claim
      held.set(key, (held.get(key) ?? 0) + 1)
      let isOver = false
      return {
        [Symbol.dispose]() {
          if (isOver) return
          isOver = true
          const left = (held.get(key) ?? 1) - 1
          if (left > 0) held.set(key, left)
          else held.delete(key)
        },
      }
    },
    claim(wanted) {
      const keys = new Set([...wanted].filter((key) => !held.has(key) && !claims.has(key)))
      const end = Promise.withResolvers<void>()
      for (const key of keys) claims.set(key, end.promise)
      return {
        keys,
        [Symbol.dispose]() {
          for (const key of keys) claims.delete(key)
          end.resolve()
        },
      }
    },
  }
}
