import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** The digests of the blobs and manifests that a data directory holds. @throws for one whose bytes are others. */
export async function storedDigests(data: string): Promise<string[]> {
  const files = await filesUnder(join(data, 'blobs'))
  const digests: string[] = []
  for (const file of files.filter((each) => !each.endsWith('.extents'))) {
    const hex = basename(file)
    const algorithm = hex.length === 128 ? 'sha512' : 'sha256'
    const hash = createHash(algorithm)
    await pipeline(createReadStream(file), hash)
    const found = hash.digest('hex')
    if (found !== hex) throw new Error(`${file} holds ${found}`)
    digests.push(`${algorithm}:${hex}`)
  }
  return digests
}

/** Where a data directory holds the bytes of a digest. */
export function pathOf(data: string, digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(data, 'blobs', algorithm, hex.slice(0, 2), hex)
}

/** Changes one bit of a file. */
export async function flip(file: string, at: number): Promise<void> {
  await using handle = await open(file, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, at)
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at)
}

/** Names of the files of downloads that are under way or were left. */
export async function partsIn(data: string): Promise<string[]> {
  return (await filesUnder(join(data, 'fills'))).map((file) => basename(file))
}

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
