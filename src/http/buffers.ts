/** Buffers that bytes pass through on their way from a file to a socket, lent one at a time and capped in all. */
export interface BufferPool {
  state(): { lentBytes: number; maxBytes: number; waiting: number }
  /** Waits its turn while too much is lent out. @param holder who could keep it for long: a client's address */
  lend(size: BufferSize, holder: string): Promise<LentBuffer>
}

export interface LentBuffer {
  readonly buffer: Buffer
  giveBack(): void
}

export type BufferSize = 'small' | 'medium' | 'large'

const bytesOf: Readonly<Record<BufferSize, number>> = {
  /** What a client that does not read can hold. */
  small: 64 * 1024,
  /** For clients that follow a fill, which brings about so much at a time. */
  medium: 256 * 1024,
  /** For clients that read as fast as we write: a system call per mebibyte. */
  large: 1024 * 1024,
}
const sizes: readonly BufferSize[] = ['small', 'medium', 'large']
/** Of those that nobody has at the moment: a crowd that follows one fill gives them all back, and takes them again. */
const mostFree: Readonly<Record<BufferSize, number>> = { small: 384, medium: 64, large: 16 }
/** Those that nobody has wanted for so long go. */
const idleMs = 5_000

interface Waiter {
  holder: string
  resolve(lent: LentBuffer): void
}

/** A whole office may be one holder, behind a proxy or a router: with all its clients stalled another one gets through. */
const holderShare = 0.75
/** Clients stall with larger ones, too, which must then leave room for the small ones of those who do not. */
const largeShare = 0.25

/** @param maxBytes of all that are lent; no holder gets all of it, and larger ones are lent only while there is plenty. */
export function createBufferPool(maxBytes: number): BufferPool {
  const free: Record<BufferSize, Buffer[]> = { small: [], medium: [], large: [] }
  const held = new Map<string, number>()
  const waiters = new Set<Waiter>()
  let lentBytes = 0
  /** The least that were free since unwanted ones went the last time. */
  const leastFree: Record<BufferSize, number> = { small: 0, medium: 0, large: 0 }
  let isTrimming = false

  function fits(size: BufferSize, holder: string): boolean {
    const bytes = bytesOf[size]
    const ofHolder = held.get(holder) ?? 0
    const limit = size === 'small' ? maxBytes : maxBytes * largeShare
    const isFair = ofHolder === 0 || ofHolder + bytes <= maxBytes * holderShare
    return lentBytes === 0 || (isFair && lentBytes + bytes <= limit)
  }

  function take(size: BufferSize, holder: string): LentBuffer | undefined {
    if (!fits(size, holder)) return undefined
    const buffer = free[size].pop() ?? Buffer.allocUnsafeSlow(bytesOf[size])
    leastFree[size] = Math.min(leastFree[size], free[size].length)
    account(buffer.length, holder)
    return { buffer, giveBack: () => giveBack(buffer, size, holder) }
  }

  function account(bytes: number, holder: string): void {
    lentBytes += bytes
    const ofHolder = (held.get(holder) ?? 0) + bytes
    if (ofHolder === 0) held.delete(holder)
    else held.set(holder, ofHolder)
  }

  function trim(): void {
    isTrimming = false
    for (const size of sizes) {
      free[size].splice(0, leastFree[size])
      leastFree[size] = free[size].length
      if (free[size].length > 0) trimLater()
    }
  }

  function trimLater(): void {
    if (isTrimming) return
    isTrimming = true
    setTimeout(trim, idleMs).unref()
  }

  function giveBack(buffer: Buffer, size: BufferSize, holder: string): void {
    account(-buffer.length, holder)
    if (free[size].length < mostFree[size]) free[size].push(buffer)
    trimLater()
    for (const waiter of waiters) {
      const lent = take('small', waiter.holder)
      if (!lent) continue
      waiters.delete(waiter)
      waiter.resolve(lent)
    }
  }

  return {
    state: () => ({ lentBytes, maxBytes, waiting: waiters.size }),
    async lend(size, holder) {
      // Larger ones are a favour: when they do not fit, or others wait, a small one will do.
      const lent = (waiters.size === 0 ? take(size, holder) : undefined) ?? take('small', holder)
      return lent ?? new Promise((resolve) => waiters.add({ holder, resolve }))
    },
  }
}
