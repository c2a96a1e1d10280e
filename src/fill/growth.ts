import type { FileHandle } from 'node:fs/promises'
import type { Growing } from '../blobs/blob-store.ts'

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

/** How far a growing file may be read, and who waits for more of it. The file stays open until nobody needs it. */
export interface Growth {
  attach(handle: FileHandle): void
  sizeIs(size: number): void
  /** Bytes before `frontier` are in the file. */
  advance(frontier: number): void
  /** All bytes are proven. */
  complete(size: number): void
  fail(error: unknown): void
  /** The writer is done with the file. */
  detach(): void
  /** `undefined` when nobody holds the file any more. */
  reader(): Growing | undefined
}

export function createGrowth(): Growth {
  const waiters = new Set<Waiter>()
  let file: FileHandle | undefined
  let holders = 0
  let size: number | undefined
  let readable = 0
  let failure: { error: unknown } | undefined

  function letGo(): void {
    holders -= 1
    if (holders === 0) file?.close().catch(() => {})
  }
  function release(to: number): void {
    readable = Math.max(readable, to)
    for (const waiter of waiters) {
      if (waiter.position >= readable) continue
      waiters.delete(waiter)
      waiter.resolve(readable)
    }
  }
  function wait(position: number, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        waiters.delete(waiter)
        reject(signal.reason)
      }
      const settle = () => signal.removeEventListener('abort', leave)
      const waiter: Waiter = {
        position,
        resolve: (to) => [settle(), resolve(to)],
        reject: (error) => [settle(), reject(error)],
      }
      signal.addEventListener('abort', leave, { once: true })
      waiters.add(waiter)
    })
  }
  return {
    attach(handle) {
      file = handle
      holders += 1
    },
    sizeIs(known) {
      size = known
    },
    advance(frontier) {
      if (size !== undefined) release(Math.min(frontier, size - heldBackBytes))
    },
    complete: release,
    fail(error) {
      failure = { error }
      for (const waiter of waiters) waiter.reject(error)
      waiters.clear()
    },
    detach: letGo,
    reader() {
      if (!file || holders === 0) return undefined
      holders += 1
      let released = false
      return {
        handle: file,
        async readableFrom(position, signal) {
          signal.throwIfAborted()
          if (position < readable) return readable
          if (failure) throw failure.error
          return wait(position, signal)
        },
        release() {
          if (!released) letGo()
          released = true
        },
      }
    },
  }
}
