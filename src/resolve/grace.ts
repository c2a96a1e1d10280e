import { setTimeout as sleep } from 'node:timers/promises'

/** How long what is here waits for upstream's word before it is answered without. */
export const graceMs = 300

/** `undefined` when `work` takes longer; it goes on, and its failure then is nobody's. */
export async function within<Value>(work: Promise<Value>, ms: number): Promise<Value | undefined> {
  const patience = new AbortController()
  work.catch(() => {})
  try {
    return await Promise.race([work, sleep(ms, undefined, { signal: patience.signal })])
  } finally {
    patience.abort()
  }
}
