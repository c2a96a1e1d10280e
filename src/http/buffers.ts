/** Buffers that bytes pass through on their way from a file to a socket, lent one at a time and capped in all. */
export interface BufferPool {
  /** Waits its turn while the pool is lent out. */
  lend(size: BufferSize): Promise<Buffer>
  giveBack(buffer: Buffer): void
}

export type BufferSize = 'small' | 'large'

/** What a client that does not read can hold. */
const smallBytes = 128 * 1024
/** For clients that read as fast as we write: a system call per mebibyte. */
const largeBytes = 1024 * 1024
const keptBuffers = 16

/** @param maxBytes of all that are lent; half of it is not for large ones, which stalled clients may be left with */
export function createBufferPool(maxBytes: number): BufferPool {
  const free: Record<BufferSize, Buffer[]> = { small: [], large: [] }
  const waiters: { size: BufferSize; resolve(buffer: Buffer): void }[] = []
  let lentBytes = 0

  function take(size: BufferSize): Buffer | undefined {
    const bytes = size === 'small' ? smallBytes : largeBytes
    const limit = size === 'small' ? maxBytes : maxBytes / 2
    if (lentBytes + bytes > limit && lentBytes > 0) return undefined
    lentBytes += bytes
    return free[size].pop() ?? Buffer.allocUnsafeSlow(bytes)
  }
  return {
    async lend(size) {
      // Large ones are a favour: when they do not fit, a small one will do.
      const taken =
        (waiters.length === 0 ? take(size) : undefined) ?? (size === 'large' ? take('small') : undefined)
      return taken ?? new Promise((resolve) => waiters.push({ size: 'small', resolve }))
    },
    giveBack(buffer) {
      lentBytes -= buffer.length
      const kept = free[buffer.length === smallBytes ? 'small' : 'large']
      if (kept.length < keptBuffers) kept.push(buffer)
      for (let next = waiters[0]; next; next = waiters[0]) {
        const taken = take(next.size)
        if (!taken) return
        waiters.shift()
        next.resolve(taken)
      }
    },
  }
}
