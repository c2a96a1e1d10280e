import { createExtentTag, type Extents, type ExtentTag, extentBytes } from '../blobs/extents.ts'

/** The tag of an extent all of whose bytes have come. */
export interface Mark {
  extent: number
  hex: string
}

/** The tags of all extents of a blob whose bytes come in pieces, in any order. */
export interface ExtentTags {
  readonly key: Buffer
  /** Pieces that do not follow upon what is known of their extent are passed over: they have to be shown again. */
  update(position: number, bytes: Uint8Array): void
  /** Those made since the last call. */
  takeMarks(): Mark[]
  /** Of a blob all of whose bytes were shown, or known before. */
  all(): Extents
}

interface Started {
  tag: ExtentTag
  length: number
}

/** @param known those of an earlier time, whose bytes are not shown again */
export function createExtentTags({ key, tags: known }: Extents): ExtentTags {
  const tags = [...known]
  const started = new Map<number, Started>()
  let marks: Mark[] = []

  function take(extent: number, from: number, piece: Uint8Array): void {
    if (tags[extent] !== undefined) return
    const its = started.get(extent) ?? { tag: createExtentTag(key, extent), length: 0 }
    if (its.length < from || from + piece.length <= its.length) return
    its.tag.update(piece.subarray(its.length - from))
    its.length = from + piece.length
    if (its.length < extentBytes) return void started.set(extent, its)
    started.delete(extent)
    const hex = its.tag.hex()
    tags[extent] = hex
    marks.push({ extent, hex })
  }
  return {
    key,
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
    all() {
      for (const [extent, { tag }] of started) tags[extent] = tag.hex()
      started.clear()
      return { key, tags }
    },
  }
}
