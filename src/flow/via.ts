import { AsyncLocalStorage } from 'node:async_hooks'

/** The `Via` header (RFC 9110 §7.6.3), carried from a request to what is asked of others on its behalf. */
export interface Via {
  /** Whether a request has passed through this node already. */
  isLoop(header: string): boolean
  /** Does `work` on behalf of a request that came with `header`. */
  carry<Value>(header: string, work: () => Value): Value
  /** What to send: who has passed the request on so far, and this node. */
  header(): string
}

/** @param own this node's pseudonym, unlike any other's */
export function createVia(own: string): Via {
  const before = new AsyncLocalStorage<string>()
  return {
    isLoop: (header) => header.includes(own),
    carry: (header, work) => before.run(header, work),
    header() {
      const chain = before.getStore()
      return chain === undefined ? `1.1 ${own}` : `${chain}, 1.1 ${own}`
    },
  }
}
