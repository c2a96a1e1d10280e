import { setTimeout as pause } from 'node:timers/promises'

export interface LineOptions {
  /** Shared by everything that goes over the line. Absent: no limit. */
  bytesPerSecond?: number
  /** From a request to the first byte of its answer. */
  latencyMs?: number
}

/** A network line of a certain width, for as many connections as use it. */
export interface Line {
  readonly latencyMs: number
  /** The most that one connection should send at a time, so that others get their turn. */
  readonly chunkBytes: number
  /** Waits until `bytes` more have gone over the line. Rejects when `signal` aborts. */
  carry(bytes: number, signal: AbortSignal): Promise<void>
}

export const largestChunkBytes = 256 * 1024

export function line({ bytesPerSecond = Number.POSITIVE_INFINITY, latencyMs = 0 }: LineOptions): Line {
  let freeAt = 0
  return {
    latencyMs,
    chunkBytes: Math.max(1, Math.min(largestChunkBytes, Math.floor(bytesPerSecond / 200))),
    async carry(bytes, signal) {
      const now = performance.now()
      freeAt = Math.max(now, freeAt) + (bytes * 1000) / bytesPerSecond
      // Timers count whole milliseconds; what is not waited for now is still owed by the next chunk.
      if (freeAt - now >= 1) await pause(freeAt - now, undefined, { signal })
    },
  }
}

/** A line that lets so many bytes through and then none. */
export interface Sluice extends Line {
  /** Lets only so many more through. */
  close(bytes: number): void
  open(): void
  /** Resolves as soon as somebody waits for bytes that may not pass. */
  dry(): Promise<void>
}

const sluiceChunkBytes = 64 * 1024

/** @param left how many bytes may pass before it is dry; those of a chunk pass together or not at all. */
export function sluice(left = Number.POSITIVE_INFINITY): Sluice {
  const waiting = new Set<{ bytes: number; resolve: () => void }>()
  let onDry = Promise.withResolvers<void>()

  function flow(): void {
    for (const each of waiting) {
      if (each.bytes > left) {
        onDry.resolve()
        return
      }
      left -= each.bytes
      waiting.delete(each)
      each.resolve()
    }
  }
  return {
    latencyMs: 0,
    chunkBytes: sluiceChunkBytes,
    close(bytes) {
      left = bytes
      onDry = Promise.withResolvers()
      flow()
    },
    open() {
      left = Number.POSITIVE_INFINITY
      flow()
    },
    dry: () => onDry.promise,
    carry(bytes, signal) {
      return new Promise((resolve, reject) => {
        const turn = { bytes, resolve }
        signal.addEventListener('abort', () => waiting.delete(turn) && reject(signal.reason), { once: true })
        waiting.add(turn)
        flow()
      })
    },
  }
}
