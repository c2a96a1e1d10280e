/**
 * Milliseconds since 1970 as the clock on the wall has it now, or `notBefore` where that is later, and from then on as
 * time goes by: who sets the clock on the wall makes nothing older or younger.
 */
export function createSteadyClock(notBefore: number): () => number {
  const from = Math.max(Date.now(), notBefore) - performance.now()
  return () => Math.floor(from + performance.now())
}
