import { constants } from 'node:fs'
import { copyFile, cp, lstat, mkdir, readdir } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { copyOfDatabase } from '../metadata/copy-database.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'

export interface Backup {
  /** Manifests and blobs that were copied, and their bytes. */
  stored: number
  bytes: number
  /** Those that were given up while the copy was made. */
  gone: number
}

/** What a node makes anew, or what means something to the node that runs only. */
const notKept = /^(?:fills|uploads|quarantine|blobs|node\.lock.*|outport\.db.*|.*\.sock)$/

/**
 * Copies what a data directory holds at this moment to `target`, as a data directory of its own. A node may be at work on
 * it: what comes meanwhile is not in the copy, what goes may not be. Bytes are shared with the copy where the file system
 * can do that; hard links would not do, because they touch the file, which then counts as changed.
 * @throws in one line when `target` holds something already or cannot be written
 */
export async function backUp(data: string, target: string, signal: AbortSignal): Promise<Backup> {
  if (!relative(data, target).startsWith('..'))
    throw new Error(`${target} is in ${data}: a backup goes elsewhere`)
  await mkdir(target, { recursive: true, mode: 0o700 })
  if ((await readdir(target)).length > 0)
    throw new Error(`${target} is not empty: a backup needs a folder of its own`)
  // First: of what it names all was here then.
  const digests = await copyOfDatabase(join(data, 'outport.db'), join(target, 'outport.db'))
  for (const name of await readdir(data))
    if (!notKept.test(name))
      await cp(join(data, name), join(target, name), { recursive: true, preserveTimestamps: true })

  const backup: Backup = { stored: 0, bytes: 0, gone: 0 }
  for (const digest of digests) {
    signal.throwIfAborted()
    const bytes = await copyBlob(digest, join(data, 'blobs'), join(target, 'blobs'))
    if (bytes === undefined) backup.gone++
    else backup.stored++
    backup.bytes += bytes ?? 0
  }
  return backup
}

/** @returns its bytes, `undefined` when it is not there any more */
async function copyBlob(digest: Digest, from: string, to: string): Promise<number | undefined> {
  const path = join(algorithmOf(digest), hexOf(digest).slice(0, 2), hexOf(digest))
  await mkdir(dirname(join(to, path)), { recursive: true, mode: 0o700 })
  const copy = (name: string) =>
    unlessAbsent(copyFile(join(from, name), join(to, name), constants.COPYFILE_FICLONE).then(() => true))
  // Alone, they are nothing.
  await copy(`${path}.extents`)
  if (!(await copy(path))) return undefined
  return (await lstat(join(to, path))).size
}
