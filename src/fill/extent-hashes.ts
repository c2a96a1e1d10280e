import { createHash, type Hash } from 'node:crypto'
import { extentBytes } from '../blobs/extents.ts'

/** While a blob is on its way, the hash of an extent is noted each time so much more of it has come. */
export const markBytes = 512 * 1024
export const marksPerExtent = extentBytes / markBytes

/** The SHA-256 of an extent's first `count` times {@link markBytes}. */
export interface Mark {
  extent: number
  count: number
  hex: string
}

/** The SHA-256 of every extent of a blob whose bytes come in pieces, in any order. */
export interface ExtentHashes {
  /** Pieces that do not follow upon what is known of their extent are passed over: they have to be shown again. */
  update(position: number, bytes: Uint8Array): void
  /** Marks made since the last call. */
  takeMarks(): Mark[]
  /** One line of hex an extent. Of a blob all of whose bytes were shown in order. */
  lines(): string[]
}

interface Started {
  hash: Hash
  length: number
}

export function createExtentHashes(): ExtentHashes {
  const finished: string[] = []
  const started = new Map<number, Started>()
  let marks: Mark[] = []

  function take(extent: number, from: number, piece: Uint8Array): void {
    if (finished[extent] !== undefined) return
    const known = started.get(extent) ?? { hash: createHash('sha256'), length: 0 }
    if (known.length < from || from + piece.length <= known.length) return
    started.set(extent, known)
    for (let rest = piece.subarray(known.length - from); rest.length > 0; ) {
      const step = rest.subarray(0, markBytes - (known.length % markBytes))
      known.hash.update(step)
      known.length += step.length
      rest = rest.subarray(step.length)
      if (known.length % markBytes === 0) mark(extent, known)
    }
  }
  function mark(extent: number, { hash, length }: Started): void {
    const isLast = length === extentBytes
    const hex = (isLast ? hash : hash.copy()).digest('hex')
    marks.push({ extent, count: length / markBytes, hex })
    if (!isLast) return
    finished[extent] = hex
    started.delete(extent)
  }
  return {
    update(position, bytes) {
      for (let at = 0; at < bytes.length; ) {
        const extent = Math.floor((position + at) / extentBytes)
        const from = position + at - extent * extentBytes
        const piece = bytes.subarray(at, at + extentBytes - from)
        take(extent, from, piece)
        at += piece.length
      }
    },
    takeMarks() {
      const taken = marks
      marks = []
      return taken
    },
    lines() {
      for (const [extent, { hash }] of started) finished[extent] = hash.digest('hex')
      started.clear()
      return finished
    },
  }
}
