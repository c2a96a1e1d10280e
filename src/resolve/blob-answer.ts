import { type FoundBlob, type OpenBlob, unlessLost } from '../blobs/blob-store.ts'
import type { RunningFill } from '../fill/running-fill.ts'
import { answerFor } from './errors.ts'
import type { CacheStatus } from './repository.ts'

/** Found is not opened: `size` asks upstream with a HEAD at most, `open` downloads. */
export interface BlobAnswer {
  source: CacheStatus
  size(signal: AbortSignal): Promise<number>
  open(signal: AbortSignal): Promise<OpenAnswer>
}

export interface OpenAnswer {
  /** Not that of the answer where what was here turned out to be spoilt. */
  source: CacheStatus
  blob: OpenBlob
}

export function growingAnswer(fill: RunningFill): BlobAnswer {
  return {
    source: 'fill',
    size: fill.size,
    open: async (signal) => ({ source: 'fill', blob: await fill.open(signal) }),
  }
}

/** @param elsewhere where its bytes come from when those that are here are lost */
export function storedAnswer(found: FoundBlob, elsewhere: () => Promise<BlobAnswer>): BlobAnswer {
  return {
    source: 'hit',
    size: async () => found.size,
    async open(signal) {
      const blob = await unlessLost(found.open(signal))
      return blob ? { source: 'hit', blob } : (await elsewhere()).open(signal)
    },
  }
}

/** The answer with its upstream's failures put as clients are told of them. */
export function explained(answer: BlobAnswer): BlobAnswer {
  const explain = (error: unknown) => {
    throw answerFor(error, 'BLOB_UNKNOWN')
  }
  return {
    source: answer.source,
    size: (signal) => answer.size(signal).catch(explain),
    open: (signal) => answer.open(signal).catch(explain),
  }
}
