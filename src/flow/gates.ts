/** Many may be inside at a time, or one alone, in the order in which they came. */
export interface Gates<Key> {
  /** Beside others that share. */
  share(key: Key): Promise<Disposable>
  /** Once everybody who came before has left; who comes after waits. */
  close(key: Key): Promise<Disposable>
}

interface Gate {
  users: number
  /** Ends with the last who came to be alone. */
  closed: Promise<unknown>
  /** Who came after that, to share. */
  inside: Set<Promise<void>>
}

export function createGates<Key>(): Gates<Key> {
  const gates = new Map<Key, Gate>()

  async function enter(key: Key, isAlone: boolean): Promise<Disposable> {
    const gate = gates.get(key) ?? { users: 0, closed: Promise.resolve(), inside: new Set() }
    gates.set(key, gate)
    gate.users += 1
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const before = isAlone ? Promise.all([gate.closed, ...gate.inside]) : gate.closed
    if (isAlone) {
      gate.closed = over
      gate.inside = new Set()
    } else gate.inside.add(over)
    const { inside } = gate
    await before
    let isOver = false
    return {
      [Symbol.dispose]() {
        if (isOver) return
        isOver = true
        resolve()
        inside.delete(over)
        gate.users -= 1
        if (gate.users === 0) gates.delete(key)
      },
    }
  }
  return { share: (key) => enter(key, false), close: (key) => enter(key, true) }
}
