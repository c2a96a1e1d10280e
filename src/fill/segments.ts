import { extentBytes } from '../blobs/extents.ts'

/** A registry that is nearer gains little by a second connection; one whose first answer took long may be as near. */
const farMs = 50
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
export interface Division {
  parallel: number
  segmentBytes: number
}

const undivided: Division = { parallel: 1, segmentBytes: Number.POSITIVE_INFINITY }

export function divisionOf(line: Line, remainingBytes: number): Division {
  const { segments, latencyMs = 0, rate } = line
  // About a second of a connection, so that a round trip between two of them is a small part of it.
  const aSecond = Math.floor((rate ?? 0) / extentBytes) * extentBytes
  const segmentBytes = Math.min(largestBytes, Math.max(smallestBytes, aSecond))
  const pieces = Math.ceil(remainingBytes / segmentBytes)
  if (segments === 1 || pieces < 2) return undivided
  if (segments !== 'auto') return { parallel: Math.min(segments, pieces), segmentBytes }
  if (latencyMs < farMs) return undivided
  // How fast the line is, the first segment will tell.
  if (rate === undefined) return { parallel: 1, segmentBytes }
  const useful = Math.min(mostConnections, Math.ceil(remainingBytes / (rate * worthwhileSeconds)))
  return useful > 1 ? { parallel: Math.min(useful, pieces), segmentBytes } : undivided
}
