import { createHash } from 'node:crypto'
import { openUnlinked } from '../blobs/extents.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import type { IndexEntry } from './layout-index.ts'

/** Where an OCI image layout is written to. Disposed of before {@link LayoutWriter.finish}, it is none. */
export interface LayoutWriter extends AsyncDisposable {
  /** The blob whose bytes stand in `file`. @returns whether they had to be written. @throws when they are others */
  putFile(digest: Digest, file: string, signal: AbortSignal): Promise<boolean>
  putBytes(digest: Digest, bytes: Buffer, signal: AbortSignal): Promise<void>
  /** What makes it a layout. */
  finish(entries: readonly IndexEntry[]): Promise<void>
}

export const layoutFile = { name: 'oci-layout', text: '{"imageLayoutVersion":"1.0.0"}' }

const pieceBytes = 1024 * 1024

/** The bytes of a file in pieces, each good until the next is asked for. @throws at the end when they are not the digest's */
export async function* checked(file: string, digest: Digest, signal: AbortSignal): AsyncGenerator<Buffer> {
  await using handle = await openUnlinked(file)
  const hash = createHash(algorithmOf(digest))
  const buffer = Buffer.allocUnsafe(pieceBytes)
  for (let position = 0; ; ) {
    signal.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, pieceBytes, position)
    if (bytesRead === 0) break
    const bytes = buffer.subarray(0, bytesRead)
    hash.update(bytes)
    position += bytesRead
    yield bytes
  }
  if (hash.digest('hex') !== hexOf(digest))
    throw new Error(`${digest} has other bytes on this disk: outport fsck --repair fetches it again`)
}
