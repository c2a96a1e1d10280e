import { createHash, randomUUID } from 'node:crypto'
import { constants, copyFile, type FileHandle, link, lstat, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobStore } from '../blobs/blob-store.ts'
import { openUnlinked } from '../blobs/extents.ts'
import { isUnwritten } from '../blobs/identity.ts'
import type { Room } from '../fill/room.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { pathInside, reasonOf, type Source, SourceFault } from './source.ts'

export interface BringOptions {
  blobs: Pick<BlobStore, 'adopt'>
  room: Pick<Room, 'take' | 'landed' | 'giveBack'>
  drafts: string
  /** Blobs of the source are not linked but copied. */
  copy: boolean
  /** Blobs are synced to the disk. */
  sync: boolean
  expect(digest: Digest): Promise<void>
  onBytes(count: number): void
}

export type Brought = 'linked' | 'copied'

const bufferBytes = 1024 * 1024

/**
 * Makes a blob of the source one of this site: hashed on the way, linked where the file system can, else copied once.
 * @throws SourceFault where the source does not have it, or other bytes; NoRoomError
 */
export async function bring(
  { blobs, room, drafts, copy, sync, expect, onBytes }: BringOptions,
  source: Source,
  digest: Digest,
  signal: AbortSignal,
): Promise<{ size: number; how: Brought }> {
  const path = await pathInside(source, source.fileOf(digest))
  const draft = join(drafts, randomUUID())
  const size = await sizeAt(path)
  await room.take(size)
  let landed = 0
  try {
    const how = copy ? 'copied' : await linkTo(path, draft)
    const isThere = how === 'linked' || (await cloneTo(path, draft))
    if (isThere) landed = size
    const arrived = (count: number) => {
      onBytes(count)
      if (isThere) return
      room.landed(count)
      landed += count
    }
    if (isThere) room.landed(size)
    await using from = await readable(openUnlinked(isThere ? draft : path))
    await using to = isThere ? undefined : await open(draft, 'wx', 0o600)
    const hex = await passOn(from, to, algorithmOf(digest), arrived, signal)
    if (hex !== hexOf(digest)) throw new SourceFault('has other bytes than its digest says')
    if (sync) await (to ?? from).sync()
    await expect(digest)
    await blobs.adopt(digest, draft)
    return { size, how }
  } finally {
    room.giveBack(size, landed)
    await rm(draft, { force: true })
  }
}

async function sizeAt(path: string): Promise<number> {
  const stats = await readable(lstat(path))
  if (!stats.isFile()) throw new SourceFault('is no file')
  return stats.size
}

/** What cannot be read of a source is no reason to read no further. */
async function readable<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work
  } catch (cause) {
    throw new SourceFault(reasonOf(cause), { cause })
  }
}

/** Another file system, one without links, or a file that this user may not link: then it is copied. */
const unlinkable: ReadonlySet<string> = new Set([
  'EXDEV',
  'EPERM',
  'EACCES',
  'EMLINK',
  'ENOTSUP',
  'ENOSYS',
  'ENOENT',
])

async function linkTo(path: string, draft: string): Promise<Brought> {
  try {
    await link(path, draft)
    return 'linked'
  } catch (error) {
    if (unlinkable.has(errorCodeOf(error) ?? '')) return 'copied'
    throw error
  }
}

/** A copy that shares its blocks until one of the two is written to. */
async function cloneTo(path: string, draft: string): Promise<boolean> {
  try {
    await copyFile(path, draft, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch {
    await rm(draft, { force: true })
    return false
  }
}

/** @returns the hex of its hash. @throws SourceFault when it is written to meanwhile */
async function passOn(
  from: FileHandle,
  to: FileHandle | undefined,
  algorithm: string,
  onBytes: (count: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const before = await from.stat({ bigint: true })
  const hash = createHash(algorithm)
  const buffer = Buffer.allocUnsafe(bufferBytes)
  for (let position = 0; ; ) {
    signal.throwIfAborted()
    const { bytesRead } = await readable(from.read(buffer, 0, bufferBytes, position))
    if (bytesRead === 0) break
    const bytes = buffer.subarray(0, bytesRead)
    hash.update(bytes)
    if (to) await to.writeFile(bytes)
    position += bytesRead
    onBytes(bytesRead)
  }
  if (!isUnwritten(before, await from.stat({ bigint: true })))
    throw new SourceFault('was written to while it was read')
  return hash.digest('hex')
}
