import { createHash, type Hash } from 'node:crypto'
import { appendFile, type FileHandle, readFile, writeFile } from 'node:fs/promises'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { algorithmOf, type Digest } from '../oci/digest.ts'

/** A blob's bytes are hashed in pieces of this size, so that what has landed can be checked, and one piece mended. */
export const extentBytes = 4 * 1024 * 1024

/**
 * The hashes that follow a fill's contiguous frontier: the whole blob's, and a SHA-256 of every extent.
 * The extents file has a line of hex for each finished extent, in order. It may be older or newer than the data beside
 * it after a power cut, which is why {@link recoverFrontier} believes no line before it has hashed its bytes.
 */
export interface Frontier {
  /** Bytes hashed so far. */
  readonly offset: number
  /** Takes the bytes at `offset`. */
  update(bytes: Uint8Array): void
  /** The hex of extents finished since the last call, for {@link appendExtents}. */
  takeFinished(): string[]
  /** Ends the hashes. The last, shorter extent is in what {@link takeFinished} gives then. */
  digestHex(): string
}

export function createFrontier(digest: Digest): Frontier {
  const whole = createHash(algorithmOf(digest))
  let extent: Hash = createHash('sha256')
  let offset = 0
  let finished: string[] = []

  const finishExtent = () => {
    finished.push(extent.digest('hex'))
    extent = createHash('sha256')
  }
  return {
    get offset() {
      return offset
    },
    update(bytes) {
      whole.update(bytes)
      for (let at = 0; at < bytes.length; ) {
        const piece = bytes.subarray(at, at + extentBytes - (offset % extentBytes))
        extent.update(piece)
        offset += piece.length
        at += piece.length
        if (offset % extentBytes === 0) finishExtent()
      }
    },
    takeFinished() {
      const taken = finished
      finished = []
      return taken
    },
    digestHex() {
      if (offset % extentBytes !== 0) finishExtent()
      return whole.digest('hex')
    },
  }
}

export async function appendExtents(file: string, finished: readonly string[]): Promise<void> {
  if (finished.length > 0) await appendFile(file, `${finished.join('\n')}\n`, { mode: 0o600 })
}

/**
 * What of `part` can be believed: the leading extents whose bytes hash to their lines. Both files are cut back to that.
 * The end of a blob, of `statedSize` or as far as it goes, is never believed: upstream is asked once more for it.
 */
export async function recoverFrontier(
  part: FileHandle,
  extentsFile: string,
  digest: Digest,
  statedSize?: number,
): Promise<Frontier> {
  const lines = await linesOf(extentsFile)
  const frontier = createFrontier(digest)
  const end = statedSize ?? (await part.stat()).size
  const buffer = Buffer.allocUnsafe(lines.length > 0 ? extentBytes : 0)
  for (const line of lines) {
    if (frontier.offset + extentBytes >= end) break
    const { bytesRead } = await part.read(buffer, 0, extentBytes, frontier.offset)
    if (bytesRead < extentBytes || createHash('sha256').update(buffer).digest('hex') !== line) break
    frontier.update(buffer)
  }
  const believed = frontier.takeFinished()
  await part.truncate(frontier.offset)
  await writeFile(extentsFile, believed.map((line) => `${line}\n`).join(''), { mode: 0o600 })
  return frontier
}

async function linesOf(file: string): Promise<string[]> {
  return (await unlessAbsent(readFile(file, 'latin1')))?.split('\n') ?? []
}
