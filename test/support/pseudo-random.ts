import { createCipheriv, createHash } from 'node:crypto'

/** Incompressible bytes that are the same for the same `seed`; a gigabyte takes about half a second. */
export function pseudoRandomBytes(length: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16)).update(Buffer.alloc(length))
}
