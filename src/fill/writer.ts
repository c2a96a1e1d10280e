import { setImmediate as immediate } from 'node:timers/promises'
import type { Share } from './in-flight.ts'
import type { Part } from './part.ts'

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

export interface WriterOptions {
  part: Part
  /** While so much waits for the disk, there is no room for more. */
  share: Share
  /** Takes the memory of what nobody will look at again. */
  giveBack(chunk: Uint8Array): void
  /** After more is there for readers. */
  onLanded(): void
}

export function createWriter({ part, share, giveBack, onLanded }: WriterOptions): Writer {
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
      for (let turn = 0; turn < patience && waitingBytes < share.bytes / 2; turn += 1) await immediate()
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
      if (waitingBytes < share.bytes && !failure) return undefined
      return check(failure ? undefined : roomy.promise)
    },
    flush: () => check(draining),
  }
}
