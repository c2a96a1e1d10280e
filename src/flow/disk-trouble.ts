import { errorCodeOf } from './error-code.ts'

const full = ['ENOSPC', 'EDQUOT', 'EROFS', 'EFBIG']

/** The disk takes no more bytes; what upstream sends is as good as ever. */
export function isDiskFull(error: unknown): boolean {
  return full.includes(errorCodeOf(error) ?? '')
}

/** The disk has lost bytes, or may have. */
export function isDiskBroken(error: unknown): boolean {
  return errorCodeOf(error) === 'EIO'
}

export interface DiskTrouble {
  kind: 'full' | 'broken'
  error: unknown
}

/** What was the matter with the disk the last time, until something is kept on it again. */
export interface DiskWatch {
  /** Errors that are not the disk's say nothing about it. */
  failed(error: unknown): void
  kept(): void
  trouble(): DiskTrouble | undefined
}

export function createDiskWatch(): DiskWatch {
  let trouble: DiskTrouble | undefined
  return {
    failed(error) {
      if (isDiskFull(error)) trouble = { kind: 'full', error }
      else if (isDiskBroken(error)) trouble = { kind: 'broken', error }
    },
    kept() {
      trouble = undefined
    },
    trouble: () => trouble,
  }
}
