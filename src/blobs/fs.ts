import { randomUUID } from 'node:crypto'
import type { Stats } from 'node:fs'
import { lstat, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { errorCodeOf } from '../flow/error-code.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { algorithmOf, type Digest, digestAlgorithms, digestOf, hexOf, isDigest } from '../oci/digest.ts'
import type { BlobStore, FoundBlob } from './blob-store.ts'
import { extentBytes } from './extents.ts'
import { createFolders, syncFolder } from './folders.ts'
import { createStoredFiles, type StoredFilesOptions } from './stored-files.ts'

export interface FsBlobStoreOptions extends Omit<StoredFilesOptions, 'pathOf' | 'extentsOf'> {
  /** Holds `sha256/ab/ab…` and `sha512/…`; made when it is not there. */
  directory: string
  /** Where bytes stand until they are whole: an existing folder on the same file system. */
  drafts: string
  /** `fast` leaves it to the system when bytes reach the disk. */
  durability: 'full' | 'fast'
}

/** Blobs as files that appear whole, by rename, and are not to change; one that has is never given away as the blob. */
export function createFsBlobStore(options: FsBlobStoreOptions): BlobStore {
  const { directory, drafts } = options
  const durable = options.durability === 'full'
  const root = resolve(directory)
  const folders = createFolders({ root, durable })
  const pathOf = (digest: Digest) => fileOf(root, digest)
  const folderOf = (digest: Digest) => dirname(pathOf(digest))
  const extentsOf = (digest: Digest) => `${pathOf(digest)}.extents`
  const files = createStoredFiles({ ...options, pathOf, extentsOf })

  async function find(digest: Digest): Promise<FoundBlob | undefined> {
    const path = pathOf(digest)
    const stats = await unlessAbsent(lstat(path))
    if (!stats || !canBe(digest, stats)) return undefined
    return { digest, size: stats.size, open: (signal) => files.open(digest, signal) }
  }

  async function publish(digest: Digest, file: string, extents?: string): Promise<void> {
    await folders.ensure(algorithmOf(digest))
    try {
      if (extents !== undefined) await unlessAbsent(rename(extents, extentsOf(digest)))
      await replace(file, pathOf(digest))
      await files.trust(digest)
      if (durable) await syncFolder(folderOf(digest))
    } catch (error) {
      folders.forget(algorithmOf(digest))
      throw error
    }
  }

  /** A folder in a blob's place cannot be replaced by rename: it is put aside among the drafts. */
  async function replace(file: string, path: string): Promise<void> {
    if ((await unlessAbsent(lstat(path)))?.isDirectory())
      await rename(path, join(drafts, `${randomUUID()}.displaced`))
    await rename(file, path)
  }

  return {
    find,
    async write(digest, bytes) {
      if (await files.isTrusted(digest)) return confirm(digest)
      const draft = join(drafts, randomUUID())
      try {
        await writeDraft(draft, bytes, durable)
        await publish(digest, draft)
      } catch (error) {
        await rm(draft, { force: true })
        throw error
      }
    },
    async adopt(digest, file, extents) {
      try {
        await publish(digest, file, extents)
      } catch (error) {
        // Asked again after an adoption whose answer got lost: the file is the blob already.
        if (errorCodeOf(error) !== 'ENOENT' || (await unlessAbsent(lstat(file))) || !(await find(digest)))
          throw error
        await confirm(digest)
      }
    },
    check: files.check,
    async *list(signal) {
      for (const algorithm of digestAlgorithms) {
        const folder = join(root, algorithm)
        for (const prefix of (await unlessAbsent(readdir(folder))) ?? []) {
          signal.throwIfAborted()
          for (const name of (await unlessAbsent(readdir(join(folder, prefix)))) ?? []) {
            const digest: string = `${algorithm}:${name}`
            if (isDigest(digest)) yield digest
          }
        }
      }
    },
    spoilt: files.spoilt,
    async remove(digest, size = Number.POSITIVE_INFINITY) {
      // In this order: extents alone are no blob. Not `rm`, which looks at a file before it removes it.
      await unlessAbsent(unlink(pathOf(digest)))
      if (size > extentBytes) await unlessAbsent(unlink(extentsOf(digest)))
      await files.forget(digest)
    },
  }

  /** A blob that can be seen has been synced itself, but perhaps not its name. */
  async function confirm(digest: Digest): Promise<void> {
    await folders.ensure(algorithmOf(digest))
    if (durable) await syncFolder(folderOf(digest))
  }
}

/** Where its bytes stand in the folder of such a store. */
export function fileOf(directory: string, digest: Digest): string {
  return join(directory, algorithmOf(digest), hexOf(digest).slice(0, 2), hexOf(digest))
}

/** Anything else in a blob's place is absent, so that it is fetched again and replaced. */
function canBe(digest: Digest, stats: Stats): boolean {
  return stats.isFile() && (stats.size === 0) === isOfNothing(digest)
}

const nothing = new Uint8Array()

function isOfNothing(digest: Digest): boolean {
  return digest === digestOf(nothing, algorithmOf(digest))
}

async function writeDraft(draft: string, bytes: Uint8Array, durable: boolean): Promise<void> {
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(bytes)
    if (durable) await handle.sync()
  } finally {
    await handle.close()
  }
}
