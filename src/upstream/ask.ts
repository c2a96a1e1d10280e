import type { Answer } from './answer.ts'
import type { Ask } from './exchange.ts'

/** Sends `ask` to upstream and lets `read` take the answer; what `read` throws counts as upstream's answer too. */
export type AskUpstream = <Value>(
  ask: Ask,
  signal: AbortSignal,
  read: (answer: Answer) => Value | Promise<Value>,
) => Promise<Value>
