import type { HttpContext } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import type { UploadState } from '../push/upload-states.ts'

/** The body of one request of an upload, as its head describes it. */
export interface Chunk {
  /** Where in the blob it begins. */
  start: number
  /** The client has said so itself, in `Content-Range`. */
  isExact: boolean
  /** Bytes; `undefined` when nobody has said. */
  length: number | undefined
  hasBody: boolean
}

/**
 * Without `Content-Range` a body follows upon what the client was told last.
 * @throws RegistryError `SIZE_INVALID` when the head contradicts itself, `RANGE_INVALID` when it cannot be read
 */
export function chunkOf(c: HttpContext, { offset }: Pick<UploadState, 'offset'>): Chunk {
  const { headers } = c.env.incoming
  const stated = headers['content-length'] === undefined ? undefined : Number(headers['content-length'])
  const hasBody = headers['transfer-encoding'] !== undefined || (stated ?? 0) > 0
  const range = headers['content-range']
  if (range === undefined || !hasBody) return { start: offset, isExact: false, length: stated, hasBody }
  const { start, length } = parseContentRange(range)
  if (stated !== undefined && stated !== length) throw new RegistryError('SIZE_INVALID')
  return { start, isExact: true, length, hasBody }
}

/** distribution-spec has it without a unit; some clients write it as RFC 9110 does. */
function parseContentRange(text: string): { start: number; length: number } {
  const [, first, last] = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(text.trim()) ?? []
  const [start, end] = [Number(first), Number(last) + 1]
  if (first === undefined || end <= start) {
    throw new RegistryError('RANGE_INVALID', { message: 'expected a Content-Range such as 0-1023' })
  }
  return { start, length: end - start }
}
