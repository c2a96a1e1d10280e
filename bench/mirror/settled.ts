import { setTimeout as pause } from 'node:timers/promises'

const askAgainMs = 50

/** Reads a counter again and again until it has not moved for `quietMs`. @returns it; as it is then after `atMostMs` */
export async function settled(
  read: () => Promise<number>,
  { quietMs, atMostMs }: { quietMs: number; atMostMs: number },
  signal: AbortSignal,
): Promise<number> {
  const startedAt = performance.now()
  let value = await read()
  let movedAt = performance.now()
  for (;;) {
    const now = performance.now()
    if (now - movedAt >= quietMs || now - startedAt >= atMostMs) return value
    await pause(askAgainMs, undefined, { signal })
    const next = await read()
    if (next !== value) movedAt = performance.now()
    value = next
  }
}
