import type { FileHandle } from 'node:fs/promises'

/** No more than this waits for the disk, so that the last sync of a large blob keeps nobody waiting. */
const everyBytes = 64 * 1024 * 1024

/** Brings a growing file to the disk while it grows. */
export interface Syncer {
  /** `count` bytes more were written. */
  after(count: number, file: FileHandle): void
  settle(): Promise<void>
}

/** @param watch hears of a failed sync: what the system could not write it does not try again */
export function createSyncer(enabled: boolean, watch: (work: Promise<void>) => Promise<void>): Syncer {
  let unsynced = 0
  let running: Promise<void> | undefined
  return {
    after(count, file) {
      unsynced += count
      if (!enabled || running || unsynced < everyBytes) return
      unsynced = 0
      running = watch(file.datasync()).then(() => {
        running = undefined
      })
    },
    async settle() {
      await running
    },
  }
}
