/** What was written to a growing file last, still in memory: who follows it closely need not have it read again. */
export interface Tail {
  /** Replaces what was kept, which is released. @param release called once, when nobody looks at `chunks` any more */
  keep(position: number, chunks: readonly Buffer[], release: () => void): void
  /** Copies up to `length` bytes from `position` on. @returns how many; 0: they are not in memory */
  copy(buffer: Buffer, length: number, position: number): number
  drop(): void
}

interface Kept {
  position: number
  chunks: readonly Buffer[]
  release(): void
}

export function createTail(): Tail {
  let kept: Kept | undefined

  function replace(by: Kept | undefined): void {
    kept?.release()
    kept = by
  }
  return {
    keep: (position, chunks, release) => replace({ position, chunks, release }),
    drop: () => replace(undefined),
    copy(buffer, length, position) {
      if (!kept || position < kept.position) return 0
      let copied = 0
      let skip = position - kept.position
      for (const chunk of kept.chunks) {
        if (copied === length) break
        copied += chunk.copy(
          buffer,
          copied,
          Math.min(skip, chunk.length),
          Math.min(chunk.length, skip + length - copied),
        )
        skip = Math.max(0, skip - chunk.length)
      }
      return copied
    },
  }
}
