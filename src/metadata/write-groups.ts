/** Writes that come while others are being committed wait, and then go together. */
export interface WriteGroups<Write> {
  /** Resolves when `write` is durable; rejects when it failed, whatever became of the others. */
  add(write: Write): Promise<void>
  /** When everything added so far is settled. */
  settled(): Promise<void>
}

/** `commit` answers for each write in turn: `undefined`, or why it failed. It is called again when it has answered. */
export function createWriteGroups<Write>(
  commit: (writes: Write[]) => Promise<(Error | undefined)[]>,
  maxWrites = 1000,
): WriteGroups<Write> {
  const waiting: { write: Write; outcome: PromiseWithResolvers<void> }[] = []
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    // So that the calls of one turn share a commit.
    await undefined
    while (waiting.length > 0) await commitGroup(waiting.splice(0, maxWrites))
    running = undefined
  }

  async function commitGroup(group: typeof waiting): Promise<void> {
    try {
      const failures = await commit(group.map(({ write }) => write))
      for (const [index, { outcome }] of group.entries()) {
        const failure = failures[index]
        if (failure) outcome.reject(failure)
        else outcome.resolve()
      }
    } catch (error) {
      for (const { outcome } of group) outcome.reject(error)
    }
  }

  return {
    add(write) {
      const outcome = Promise.withResolvers<void>()
      waiting.push({ write, outcome })
      running ??= run()
      return outcome.promise
    },
    async settled() {
      await running
    },
  }
}
