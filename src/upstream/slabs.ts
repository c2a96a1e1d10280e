/** Memory that connections read into, used again once all that came into it has been given back. */
export interface Slabs {
  /** For one connection. */
  receiver(): Receiver
  /**
   * Nobody will look at `chunk` again, which is, or is a part of, what a connection has read: said once of each byte.
   * Bytes of which it is never said cost their slab its next use; what came from elsewhere is passed over.
   */
  giveBack(chunk: Uint8Array): void
}

export interface Receiver {
  /** Where the next bytes may go. */
  room(): Uint8Array
  /** So many bytes have come into the room that was asked for last. */
  took(bytes: number): void
}

/** The most that one read can bring: fewer system calls and turns of the event loop, and less memory in pieces. */
const slabBytes = 512 * 1024
/** Of all connections together; more of them, or what is slow, get by with less. */
const mostSlabs = 32
const mostFree = 16
/** What a connection begins with, heads and small bodies, and all it gets while there are no slabs: for one use each. */
const smallBytes = 64 * 1024

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
  let count = 0
  /** Of which not all was given back, as a head never is. */
  const collected = new FinalizationRegistry(() => {
    count -= 1
  })

  function make(): Buffer {
    count += 1
    const bytes = Buffer.allocUnsafeSlow(slabBytes)
    collected.register(bytes.buffer, undefined)
    return bytes
  }
  function take(isFirst: boolean): Slab {
    const large = isFirst ? undefined : (free.pop() ?? (count < mostSlabs ? make() : undefined))
    const bytes = large ?? Buffer.allocUnsafeSlow(smallBytes)
    const slab = { bytes, filled: 0, returned: 0, isFull: false }
    inUse.set(bytes.buffer, slab)
    return slab
  }
  function freeWhenDone({ bytes, filled, returned, isFull }: Slab): void {
    if (!isFull || returned !== filled) return
    inUse.delete(bytes.buffer)
    if (bytes.length === slabBytes && free.length < mostFree) free.push(bytes)
  }
  return {
    receiver() {
      let slab: Slab | undefined
      let isFirst = true
      return {
        room() {
          // With less room than a quarter of it, there is another one.
          if (slab && slab.bytes.length - slab.filled < slab.bytes.length / 4) {
            slab.isFull = true
            freeWhenDone(slab)
            slab = undefined
            isFirst = false
          }
          slab ??= take(isFirst)
          return slab.bytes.subarray(slab.filled)
        },
        took(bytes) {
          if (slab) slab.filled += bytes
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
