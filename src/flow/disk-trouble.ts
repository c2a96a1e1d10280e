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
