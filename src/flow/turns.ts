/** Work of which one is under way at a time, in the order in which it was asked for. */
export interface Turns {
  take<Value>(work: () => Promise<Value>): Promise<Value>
}

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return {
    take(work) {
      const turn = last.then(work)
      last = turn.catch(() => {})
      return turn
    },
  }
}
