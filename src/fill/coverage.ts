/** Bytes `start` to `end`, `end` not included. */
export interface Span {
  start: number
  end: number
}

/** Which bytes of a growing file are there. */
export interface Coverage {
  readonly bytes: number
  /** Behind the last byte that is there. */
  readonly end: number
  add(span: Span): void
  /** Up to where bytes are there without a gap from `position` on: `position` itself where there is none. */
  endFrom(position: number): number
  /** The first gap at or behind `position`, cut off at `limit`. */
  gapFrom(position: number, limit: number): Span | undefined
}

export function createCoverage(): Coverage {
  /** In order, with gaps between them. */
  const spans: Span[] = []
  let bytes = 0

  /** Index of the first span that ends at or behind `position`. */
  function indexFrom(position: number): number {
    let [low, high] = [0, spans.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((spans[middle]?.end ?? 0) < position) low = middle + 1
      else high = middle
    }
    return low
  }
  function endFrom(position: number): number {
    const span = spans[indexFrom(position)]
    return span && span.start <= position ? span.end : position
  }
  return {
    get bytes() {
      return bytes
    },
    get end() {
      return spans.at(-1)?.end ?? 0
    },
    add({ start, end }) {
      if (end <= start) return
      const first = indexFrom(start)
      let after = first
      const merged = { start, end }
      for (let span = spans[after]; span && span.start <= end; span = spans[++after]) {
        merged.start = Math.min(merged.start, span.start)
        merged.end = Math.max(merged.end, span.end)
        bytes -= span.end - span.start
      }
      spans.splice(first, after - first, merged)
      bytes += merged.end - merged.start
    },
    endFrom,
    gapFrom(position, limit) {
      const start = endFrom(position)
      if (start >= limit) return undefined
      const next = spans[indexFrom(start + 1)]
      return { start, end: Math.min(limit, next?.start ?? limit) }
    },
  }
}
