/** Callers that ask for the same key while work is running share its outcome. The work takes a signal of its own. */
export type SingleFlight<Value> = (key: string, work: () => Promise<Value>) => Promise<Value>

export function createSingleFlight<Value>(): SingleFlight<Value> {
  const running = new Map<string, Promise<Value>>()
  return (key, work) => {
    let shared = running.get(key)
    if (!shared) {
      shared = work().finally(() => running.delete(key))
      running.set(key, shared)
    }
    return shared
  }
}
