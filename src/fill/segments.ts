import { extentBytes } from './extents.ts'

/** A registry that is nearer gains nothing by a second connection. */
const farMs = 20
/** With more of them, readers would wait for what comes first while later bytes take their share of the line. */
const mostConnections = 6
/** What will be here sooner than this anyway is not divided. */
const worthwhileSeconds = 2
const smallestBytes = 8 * 1024 * 1024
const largestBytes = 32 * 1024 * 1024

export interface Line {
  /** Of the registry document; `auto`: by what follows. */
  segments: number | 'auto'
  /** From a request to its answer. */
  latencyMs: number | undefined
  /** Bytes a second of one connection, once it is known. */
  rate: number | undefined
}

/** How the rest of a blob is fetched: over how many connections, and how much over one at a time. */
export function segmentsOf(line: Line, remainingBytes: number): { parallel: number; segmentBytes: number } {
  const { segments, rate = 0 } = line
  // About a second of a connection, so that a round trip between two of them is a small part of it.
  const aSecond = Math.floor(rate / extentBytes) * extentBytes
  const segmentBytes = Math.min(largestBytes, Math.max(smallestBytes, aSecond))
  const useful = segments === 'auto' ? usefulConnections(line, remainingBytes) : segments
  const parallel = Math.min(useful, Math.ceil(remainingBytes / segmentBytes))
  return parallel > 1 ? { parallel, segmentBytes } : { parallel: 1, segmentBytes: Number.POSITIVE_INFINITY }
}

function usefulConnections({ latencyMs = 0, rate }: Line, remainingBytes: number): number {
  if (latencyMs < farMs) return 1
  if (rate === undefined) return mostConnections
  return Math.min(mostConnections, Math.max(1, Math.ceil(remainingBytes / (rate * worthwhileSeconds))))
}
