import { createHash, type Hash, randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'

export interface RandomFile {
  file: string
  bytes: number
  /** SHA-256 of all of it, to go on from. */
  hash: Hash
}

const stepBytes = 16 * 1024 ** 2

/** That no server can have already, and none can make smaller. */
export async function writeRandomFile(file: string, bytes: number): Promise<RandomFile> {
  await using handle = await open(file, 'w')
  const hash = createHash('sha256')
  for (let left = bytes; left > 0; left -= stepBytes) {
    const piece = randomBytes(Math.min(left, stepBytes))
    hash.update(piece)
    await handle.write(piece)
  }
  return { file, bytes, hash }
}

export function digestOf(hash: Hash): string {
  return `sha256:${hash.copy().digest('hex')}`
}
