import type { Lent } from '../blobs/blob-store.ts'
import type { Loans } from './in-flight.ts'

/** What was written to a growing file last, still in memory: who follows it closely need not have it read again. */
export interface Tail {
  /** Replaces what was kept. @param release called once, when nobody looks at `chunks` any more */
  keep(position: number, chunks: readonly Buffer[], release: () => void): void
  /** Copies up to `length` bytes from `position` on. @returns how many; 0: they are not in memory */
  copy(buffer: Buffer, length: number, position: number): number
  /** Up to `length` bytes from `position` on as they are; `undefined`: they are not in memory, or too much is lent. */
  lend(position: number, length: number): Lent | undefined
  drop(): void
}

interface Kept {
  position: number
  chunks: readonly Buffer[]
  bytes: number
  release(): void
  borrowers: number
}

/** @param loans what may be lent in all */
export function createTail(loans: Loans): Tail {
  let kept: Kept | undefined

  function replace(by: Kept | undefined): void {
    const replaced = kept
    kept = by
    if (replaced?.borrowers === 0) replaced.release()
  }
  function giveBack(batch: Kept): void {
    batch.borrowers -= 1
    if (batch.borrowers > 0) return
    loans.giveBack(batch.bytes)
    if (batch !== kept) batch.release()
  }
  function holds(position: number): Kept | undefined {
    const isIn = kept && position >= kept.position && position < kept.position + kept.bytes
    return isIn ? kept : undefined
  }
  return {
    keep(position, chunks, release) {
      const bytes = chunks.reduce((sum, { length }) => sum + length, 0)
      replace({ position, chunks, bytes, release, borrowers: 0 })
    },
    drop: () => replace(undefined),
    copy(buffer, length, position) {
      const batch = holds(position)
      let copied = 0
      for (const piece of batch ? piecesOf(batch, position, length) : []) {
        copied += piece.copy(buffer, copied)
      }
      return copied
    },
    lend(position, length) {
      const batch = holds(position)
      if (!batch || (batch.borrowers === 0 && !loans.take(batch.bytes))) return undefined
      batch.borrowers += 1
      let isOver = false
      return {
        pieces: piecesOf(batch, position, length),
        giveBack() {
          if (!isOver) giveBack(batch)
          isOver = true
        },
      }
    },
  }
}

function piecesOf({ chunks, position: start }: Kept, position: number, length: number): Buffer[] {
  const pieces: Buffer[] = []
  let skip = position - start
  let left = length
  for (const chunk of chunks) {
    const piece = chunk.subarray(Math.min(skip, chunk.length), Math.min(chunk.length, skip + left))
    skip = Math.max(0, skip - chunk.length)
    left -= piece.length
    if (piece.length > 0) pieces.push(piece)
  }
  return pieces
}
