/** Bytes that come in pieces, kept until they are taken all together. */
export interface Pieces {
  /** Bytes that were added since they were last taken. */
  readonly bytes: number
  add(piece: Buffer): void
  /** All of them in their order; there are none then. */
  take(): Buffer[]
}

/** A buffer costs some hundred bytes beside its own: a body in chunks of one byte would take 400 times its size. */
const smallBytes = 1024
const slabBytes = 16 * 1024

/** What is small is copied together. */
export function createPieces(): Pieces {
  let pieces: Buffer[] = []
  let bytes = 0
  let slab = Buffer.alloc(0)
  let used = 0

  /** The rest of the slab is for what comes later. */
  function close(): void {
    if (used === 0) return
    pieces.push(slab.subarray(0, used))
    slab = slab.subarray(used)
    used = 0
  }
  return {
    get bytes() {
      return bytes
    },
    add(piece) {
      bytes += piece.length
      if (piece.length >= smallBytes) {
        close()
        pieces.push(piece)
        return
      }
      if (used + piece.length > slab.length) {
        close()
        slab = Buffer.allocUnsafeSlow(slabBytes)
      }
      used += piece.copy(slab, used)
    },
    take() {
      close()
      const taken = pieces
      pieces = []
      bytes = 0
      return taken
    },
  }
}
