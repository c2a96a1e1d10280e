/** Memory that connections read into, used again once all that came into it has been given back. */
export interface Slabs {
  /** For one connection. */
  receiver(): Receiver
  /**
   * Nobody will look at `chunk` again: it is, or is a part of, what a connection has read. Bytes that are never given
   * back cost their slab its next use and nothing else; what came from elsewhere is passed over.
   */
  giveBack(chunk: Uint8Array): void
}

export interface Receiver {
  /** Where the next bytes may go. */
  room(): Uint8Array
  /** `count` bytes have come into the room that was asked for last. */
  took(count: number): void
}

/** The most that one read can bring: fewer system calls and turns of the event loop, and less memory in pieces. */
const slabBytes = 512 * 1024
/** With less room than this in its slab a connection gets another one. */
const leastRoomBytes = 128 * 1024
const mostFree = 8

interface Slab {
  bytes: Buffer
  /** So much of it holds what came. */
  filled: number
  /** So much of that was given back. */
  returned: number
  /** No more comes into it. */
  isFull: boolean
}

export function createSlabs(): Slabs {
  /** By the memory behind a chunk, which no other buffer shares. */
  const inUse = new WeakMap<ArrayBufferLike, Slab>()
  const free: Buffer[] = []

  function take(): Slab {
    const bytes = free.pop() ?? Buffer.allocUnsafeSlow(slabBytes)
    const slab = { bytes, filled: 0, returned: 0, isFull: false }
    inUse.set(bytes.buffer, slab)
    return slab
  }
  function freeWhenDone({ bytes, filled, returned, isFull }: Slab): void {
    if (!isFull || returned < filled) return
    inUse.delete(bytes.buffer)
    if (free.length < mostFree) free.push(bytes)
  }
  return {
    receiver() {
      let slab: Slab | undefined
      return {
        room() {
          if (slab && slabBytes - slab.filled < leastRoomBytes) {
            slab.isFull = true
            freeWhenDone(slab)
            slab = undefined
          }
          slab ??= take()
          return slab.bytes.subarray(slab.filled)
        },
        took(count) {
          if (slab) slab.filled += count
        },
      }
    },
    giveBack(chunk) {
      const slab = inUse.get(chunk.buffer)
      if (!slab) return
      slab.returned += chunk.length
      freeWhenDone(slab)
    },
  }
}
