import { constants, open, realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import { openUnlinked } from '../blobs/extents.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { messageOf } from '../flow/message-of.ts'
import type { Digest } from '../oci/digest.ts'

/** Images as they stand in somebody else's files. Nothing that it says is believed before its bytes are hashed. */
export interface Source extends AsyncDisposable {
  /** Of what its bytes stand in. */
  readonly root: string
  /** Its names begin with that of a registry's host, as `docker.io/library/nginx`. */
  readonly hasHosts: boolean
  /** One after another. */
  repositories(signal: AbortSignal): AsyncIterable<SourceRepository>
  /** Where the bytes of `digest` would stand. */
  fileOf(digest: Digest): string
}

export interface SourceRepository {
  /** As it stands there; absent: it has none. */
  name?: string
  manifests: readonly Digest[]
  tags: readonly { tag: string; digest: Digest }[]
  /** What belongs to it whether a manifest names it or not. */
  blobs: readonly Digest[]
  /** Whether it holds this manifest or blob. */
  holds(digest: Digest): Promise<boolean>
}

/** What of a source is no good, and why: one line, after which the rest goes on. */
export type OnFault = (subject: string, reason: string) => void

/** What a mirror can still fetch. */
export const notThere = 'is not there'

/** Why one thing of a source cannot be had, in a few words. */
export class SourceFault extends Error {
  override readonly name = 'SourceFault'
}

/** The whole of a small file of the source. @throws SourceFault */
export async function readSmall(source: Pick<Source, 'root'>, file: string, most: number): Promise<Buffer> {
  await using handle = await openInside(source, file)
  const { size } = await handle.stat()
  if (size > most) throw new SourceFault(`has ${size} bytes, and ${most} are the most`)
  const bytes = Buffer.allocUnsafe(size)
  const { bytesRead } = await handle.read(bytes, 0, size, 0)
  return bytes.subarray(0, bytesRead)
}

/** Opens a file that stands in the source and not, by a link, elsewhere. @throws SourceFault */
export async function openInside(source: Pick<Source, 'root'>, file: string) {
  const path = await pathInside(source, file)
  try {
    const handle = await openUnlinked(path)
    if ((await handle.stat()).isFile()) return handle
    await handle.close()
  } catch (cause) {
    throw new SourceFault(reasonOf(cause), { cause })
  }
  throw new SourceFault('is no file')
}

/** Where `file` really is. @throws SourceFault when that is not in the source */
export async function pathInside({ root }: Pick<Source, 'root'>, file: string): Promise<string> {
  let path: string
  try {
    path = await realpath(file)
  } catch (cause) {
    throw new SourceFault(reasonOf(cause), { cause })
  }
  if (!path.startsWith(root.endsWith(sep) ? root : `${root}${sep}`))
    throw new SourceFault(`is a link that leads out of ${root}`)
  return path
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  ENOENT: notThere,
  ENOTDIR: notThere,
  ELOOP: 'is a link that leads nowhere',
  ENXIO: 'is no file',
}

/** Of what keeps a file from being read. */
export function reasonOf(error: unknown): string {
  if (error instanceof SourceFault) return error.message
  const code = errorCodeOf(error)
  return (code && reasons[code]) ?? messageOf(error)
}

/** The first bytes of a file, by which its kind is known. */
export async function beginningOf(file: string, length: number): Promise<Buffer> {
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const bytes = Buffer.alloc(length)
  const { bytesRead } = await handle.read(bytes, 0, length, 0)
  return bytes.subarray(0, bytesRead)
}
