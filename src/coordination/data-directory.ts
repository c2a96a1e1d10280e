import { access, constants, lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../oci/digest.ts'

/** Where everything of a node stands. */
export interface DataDirectory {
  /** SQLite, made by whoever opens it. */
  readonly database: string
  readonly blobs: string
  /** What is on its way. */
  readonly fills: string
  /** Drafts of pushes. */
  readonly uploads: string
  /** Rotten bytes, until they are replaced. */
  readonly quarantine: string
  readonly keys: string
  /** A file that says what an import was about to bring. */
  readonly arrivals: string
}

/**
 * Makes what is missing of it, for this user only; what is there keeps its mode.
 * @throws in one line, naming the folder, when one cannot be made or written to.
 */
export async function prepareDataDirectory(directory: string): Promise<DataDirectory> {
  const folders = {
    blobs: join(directory, 'blobs'),
    fills: join(directory, 'fills'),
    uploads: join(directory, 'uploads'),
    quarantine: join(directory, 'quarantine'),
    keys: join(directory, 'keys'),
  }
  for (const folder of [directory, ...Object.values(folders)]) await prepare(folder)
  return { database: join(directory, 'outport.db'), arrivals: join(directory, 'arrivals'), ...folders }
}

/**
 * Clears what a process that was killed has left behind: drafts, and parts that hold nothing; uploads go on after a
 * restart. Call it as the owner.
 * @returns the blobs that have just come of growing files, and that nobody may have noted
 */
export async function clearLeftovers({ fills, uploads }: DataDirectory): Promise<Digest[]> {
  for (const name of await readdir(uploads))
    if (!name.endsWith('.upload')) await rm(join(uploads, name), { recursive: true, force: true })
  const names = await readdir(fills)
  const adopted: Digest[] = []
  for (const name of names) {
    const file = join(fills, name)
    const [id = ''] = name.split('.')
    const hasPart = names.includes(`${id}.part`)
    if (!hasPart && name.endsWith('.marks')) adopted.push(...digestsOf(id))
    if (!hasPart || (await lstat(file)).size === 0) await rm(file, { recursive: true, force: true })
  }
  return adopted
}

/** A growing file is named `<algorithm>-<hex>`, and may have more behind that. */
function digestsOf(id: string): Digest[] {
  const digest: string = id.split('-').slice(0, 2).join(':')
  return isDigest(digest) ? [digest] : []
}

async function prepare(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new Error(`cannot use the data folder ${folder}: ${reasonOf(cause)}`, { cause })
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EDQUOT: 'the disk quota is used up',
  EEXIST: 'it is not a folder',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of its path is not a folder',
  EPERM: 'this user may not write there',
  EROFS: 'the file system is read-only',
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return String(error)
  const reason = reasons[error.code]
  return reason === undefined ? error.message : `${reason} (${error.code})`
}
