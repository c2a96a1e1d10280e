import { setImmediate as immediate } from 'node:timers/promises'
import type { Part } from './part.ts'

/** While this much waits for the disk, upstream's socket is not read. */
const maxWaitingBytes = 1024 * 1024

/** Turns of the event loop that a write waits for more. */
const patience = 3

/** Puts one connection's bytes into a part: one write at a time, and what arrives meanwhile goes out with the next. */
export interface Writer {
  push(position: number, bytes: Buffer): void
  /** `undefined`: there is room for more. Else resolves when there is, and rejects when a write has failed. */
  room(): Promise<void> | undefined
  /** Settles when all is written. @throws what the disk said */
  flush(): Promise<void>
}

interface Batch {
  start: number
  bytes: number
  chunks: Buffer[]
}

/** @param giveBack takes the memory of what nobody will look at again */
export function createWriter(
  part: Part,
  giveBack: (chunk: Uint8Array) => void,
  onLanded: () => void,
): Writer {
  const waiting: Batch[] = []
  let waitingBytes = 0
  let draining: Promise<void> | undefined
  let failure: { error: unknown } | undefined
  let roomy = Promise.withResolvers<void>()

  function takeBatch(): Batch | undefined {
    const batch = waiting.shift()
    waitingBytes -= batch?.bytes ?? 0
    roomy.resolve()
    roomy = Promise.withResolvers()
    return batch
  }
  /** Never rejects: a failure is told to whoever asks next. */
  async function drain(): Promise<void> {
    // All that upstream has sent by now arrives before the next turn: few large writes cost less than many small ones.
    await immediate()
    for (let batch = takeBatch(); batch && !failure; batch = takeBatch()) {
      try {
        const { start, chunks, bytes } = batch
        await part.write(start, chunks, bytes, () => chunks.forEach(giveBack))
        onLanded()
      } catch (error) {
        failure = { error }
        roomy.resolve()
      }
      for (let turn = 0; turn < patience && waitingBytes < maxWaitingBytes / 2; turn += 1) await immediate()
    }
    draining = undefined
  }
  async function check(work: Promise<void> | undefined): Promise<void> {
    await work
    if (failure) throw failure.error
  }
  return {
    push(position, bytes) {
      const last = waiting.at(-1)
      if (last && last.start + last.bytes === position) {
        last.chunks.push(bytes)
        last.bytes += bytes.length
      } else waiting.push({ start: position, bytes: bytes.length, chunks: [bytes] })
      waitingBytes += bytes.length
      if (!failure) draining ??= drain()
    },
    room() {
      if (waitingBytes < maxWaitingBytes && !failure) return undefined
      return check(failure ? undefined : roomy.promise)
    },
    flush: () => check(draining),
  }
}
