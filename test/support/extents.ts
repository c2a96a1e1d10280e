import {
  createExtentTag,
  createKey,
  type Extents,
  extentBytes,
  extentCountOf,
} from '../../src/blobs/extents.ts'

/** What a file beside a blob of these bytes has to say. */
export function extentsWith(bytes: Uint8Array, key = createKey()): Extents {
  const tags = Array.from({ length: extentCountOf(bytes.length) }, (_, extent) => {
    const tag = createExtentTag(key, extent)
    tag.update(bytes.subarray(extent * extentBytes, (extent + 1) * extentBytes))
    return tag.hex()
  })
  return { key, tags }
}
