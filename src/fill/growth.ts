import type { Growing } from '../blobs/blob-store.ts'
import type { Overflow, OverflowReader } from './overflow.ts'
import type { Part } from './part.ts'

/**
 * A blob's last bytes are given to nobody before its digest is proven, so that no response can be complete and wrong.
 * A page, since clients take what they got as bytes on disk anyway.
 */
export const heldBackBytes = 4096

interface Waiter {
  position: number
  resolve(readable: number): void
  reject(error: unknown): void
}

/** Who reads a growing file, and how far they may. The file stays open until nobody needs it. */
export interface Growth {
  readonly readers: number
  /** Where readers wait, the one who waits longest first. */
  wants(): Iterable<number>
  /** The file to read, once there is one. */
  attach(part: Part): void
  /** More bytes are there. */
  advance(): void
  /** All bytes are proven. */
  complete(): void
  /** The disk takes no more: readers go on without it. */
  overflow(overflow: Overflow): void
  fail(error: unknown): void
  /** The writer is done with the file. */
  detach(): void
  /** `undefined` when nobody holds the file any more. */
  reader(): Growing | undefined
}

export interface GrowthOptions {
  /** A reader waits at `position`. */
  onWant(position: number): void
  /** One came or left. */
  onReaders(): void
}

type Outcome =
  | { kind: 'proven' }
  | { kind: 'overflow'; overflow: Overflow }
  | { kind: 'failed'; error: unknown }

export function createGrowth({ onWant, onReaders }: GrowthOptions): Growth {
  const waiters = new Set<Waiter>()
  let part: Part | undefined
  let writing = true
  let readers = 0
  let outcome: Outcome | undefined

  function closeUnlessHeld(): void {
    if (!writing && readers === 0) part?.handle?.close().catch(() => {})
  }
  function readableTo(position: number): number {
    if (part?.size === undefined) return 0
    const landed = part.coverage.endFrom(position)
    return outcome?.kind === 'proven' ? landed : Math.min(landed, part.size - heldBackBytes)
  }
  function release(): void {
    for (const waiter of waiters) {
      const readable = readableTo(waiter.position)
      if (readable > waiter.position) waiter.resolve(readable)
    }
  }
  function wait(position: number, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      const leave = () => waiter.reject(signal.reason)
      const settle = () => {
        waiters.delete(waiter)
        signal.removeEventListener('abort', leave)
      }
      const waiter: Waiter = {
        position,
        resolve: (to) => [settle(), resolve(to)],
        reject: (error) => [settle(), reject(error)],
      }
      signal.addEventListener('abort', leave, { once: true })
      waiters.add(waiter)
      onWant(position)
    })
  }
  function conclude(last: Outcome): void {
    outcome = last
    if (last.kind !== 'failed') release()
    for (const waiter of [...waiters]) waiter.reject(last.kind === 'failed' ? last.error : overflowed)
  }
  function createReader(): Growing {
    let own: OverflowReader | undefined
    let released = false
    return {
      async readableFrom(position, signal) {
        signal.throwIfAborted()
        if (own && position >= own.start) return own.readableFrom(position, signal)
        const readable = readableTo(position)
        if (readable > position) return readable
        if (outcome?.kind === 'failed') throw outcome.error
        if (outcome?.kind !== 'overflow') {
          try {
            return await wait(position, signal)
          } catch (error) {
            if (error !== overflowed) throw error
          }
        }
        if (outcome?.kind !== 'overflow') throw new Error('a growing file has no end')
        own ??= outcome.overflow.reader()
        return own.readableFrom(position, signal)
      },
      async read(buffer, length, position) {
        if (own && position >= own.start) return own.read(buffer, length, position)
        if (!part) throw new Error('bytes are read from a file that is not there')
        return part.read(
          buffer,
          Math.min(length, (own?.start ?? Number.POSITIVE_INFINITY) - position),
          position,
        )
      },
      lend(position, length) {
        return own && position >= own.start ? undefined : part?.lend(position, length)
      },
      release() {
        if (released) return
        released = true
        own?.end()
        readers -= 1
        closeUnlessHeld()
        onReaders()
      },
    }
  }
  return {
    get readers() {
      return readers
    },
    *wants() {
      for (const { position } of waiters) yield position
    },
    attach(file) {
      part = file
    },
    advance: release,
    complete: () => conclude({ kind: 'proven' }),
    overflow: (overflow) => conclude({ kind: 'overflow', overflow }),
    fail: (error) => conclude({ kind: 'failed', error }),
    detach() {
      writing = false
      closeUnlessHeld()
    },
    reader() {
      if (!writing && readers === 0) return undefined
      readers += 1
      onReaders()
      return createReader()
    },
  }
}

/** Tells a waiter that it has to read on by itself. */
const overflowed = new Error('the disk takes no more of it')
