/** What of a database works. */
export interface Health {
  /** Notes how `work` ends, and passes it on. */
  follow<Value>(what: Use, work: Promise<Value>): Promise<Value>
  failed(what: Use, error: { code?: string | undefined }): void
  /** In words, without the name of the file. */
  trouble(): string | undefined
}

export type Use = 'read' | 'written'

/** A damaged page fails now and then, and other calls go well meanwhile. */
const restMs = 60_000

export function createHealth(now = () => performance.now()): Health {
  const failures = new Map<Use, { code: string; at: number; isOver: boolean }>()

  function failed(what: Use, { code = 'an unknown error' }: { code?: string | undefined }): void {
    failures.set(what, { code, at: now(), isOver: false })
  }
  return {
    failed,
    async follow(what, work) {
      try {
        const value = await work
        const failure = failures.get(what)
        if (failure) failure.isOver = true
        return value
      } catch (error) {
        failed(what, error instanceof Error && 'code' in error ? { code: String(error.code) } : {})
        throw error
      }
    },
    trouble() {
      for (const [what, { code, at, isOver }] of failures) {
        if (!isOver || now() - at < restMs) return `the database cannot be ${what}: ${code}`
      }
      return undefined
    },
  }
}
