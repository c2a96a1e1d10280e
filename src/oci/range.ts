import { RegistryError } from './error.ts'

/** Bytes from `start` up to, not including, `end`. */
export interface ByteRange {
  start: number
  end: number
}

/** More ranges in one request are answered with the whole (RFC 9110 §14.2 lets a server ignore them). */
const maxRanges = 32

/**
 * The ranges that a `Range` header asks of `size` bytes (RFC 9110 §14.1.2), the unsatisfiable ones left out.
 * `undefined`: send the whole, because there is no header, or one that must be ignored.
 * @throws RegistryError `RANGE_INVALID` (416) when none of the ranges can be satisfied.
 */
export function parseRange(header: string | undefined, size: number): ByteRange[] | undefined {
  const match = header === undefined ? null : /^bytes=(.*)$/i.exec(header.trim())
  if (!match) return undefined
  const specs = (match[1] ?? '').split(',').map((spec) => /^(\d*)-(\d*)$/.exec(spec.trim()))
  if (specs.length > maxRanges || specs.some((spec) => !spec || (spec[1] === '' && spec[2] === '')))
    return undefined

  const ranges: ByteRange[] = []
  for (const spec of specs) {
    const [first, last] = [spec?.[1] ?? '', spec?.[2] ?? '']
    if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined
    const range =
      first === ''
        ? { start: Math.max(0, size - Number(last)), end: size }
        : { start: Number(first), end: last === '' ? size : Math.min(size, Number(last) + 1) }
    if (range.start < range.end) ranges.push(range)
  }
  if (ranges.length === 0)
    throw new RegistryError('RANGE_INVALID', { headers: { 'content-range': `bytes */${size}` } })
  return ranges
}

/** The value of `Content-Range`. */
export function contentRangeOf(range: ByteRange, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`
}
