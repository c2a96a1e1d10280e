import { createHash, type Hash } from 'node:crypto'
import { algorithmOf, type Digest } from '../oci/digest.ts'

/** The hash of a whole blob, which takes its bytes in order. */
export interface WholeHash {
  /** Bytes hashed so far. */
  readonly offset: number
  /** Passes over bytes that are not those at `offset`. */
  update(position: number, bytes: Uint8Array): void
  copy(): Hash
  digestHex(): string
}

export function createWholeHash(digest: Digest): WholeHash {
  const hash = createHash(algorithmOf(digest))
  let offset = 0
  return {
    get offset() {
      return offset
    },
    update(position, bytes) {
      if (position !== offset) return
      hash.update(bytes)
      offset += bytes.length
    },
    copy: () => hash.copy(),
    digestHex: () => hash.copy().digest('hex'),
  }
}
