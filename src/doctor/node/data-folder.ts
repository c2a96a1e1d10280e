import { access, constants, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorCodeOf } from '../../flow/error-code.ts'
import type { Mistake } from '../findings.ts'

/** What is known of the folder that a node keeps its data in. */
export interface DataFolder {
  path: string
  kind: 'folder' | 'absent' | 'other'
  /** Of the folder, or of the nearest one above it that is there. */
  owner: number
  /** Why it cannot be written to; absent: it can. */
  refused?: string
  /** Bytes that this user may still write. */
  freeBytes: number
  /** File system entries that may still be made. */
  freeFiles: number
  /** Of the database in it. */
  databaseOwner?: number
}

/** `sockaddr_un` (unix(7)) holds 108 bytes, the last of them 0. */
const longestSocketPath = 107
const leastBytes = 64 * 1024 * 1024
const leastFiles = 100

export async function lookAtData(path: string): Promise<DataFolder> {
  const found = await statOf(path)
  const there = found ? path : await nearestThere(path)
  const { bavail, bsize, ffree, files } = await statfs(there)
  const refused = await refusalOf(there)
  const database = await statOf(join(path, 'outport.db'))
  return {
    path,
    kind: !found ? 'absent' : found.isDirectory() ? 'folder' : 'other',
    owner: (found ?? (await stat(there))).uid,
    ...(refused !== undefined && { refused }),
    freeBytes: bavail * bsize,
    // Some file systems count none.
    freeFiles: files === 0 ? Number.POSITIVE_INFINITY : ffree,
    ...(database && { databaseOwner: database.uid }),
  }
}

/** @param uid who asks @param socket the path of the node's socket */
export function dataMistakes(folder: DataFolder, uid: number, socket: string): Mistake[] {
  const { path, kind, owner, refused, databaseOwner, freeBytes, freeFiles } = folder
  const socketMistakes = socketMistake(socket)
  const may = `the node needs it as its own: chown -R, or run it (and this) as the user with id`
  if (kind === 'other')
    return [
      {
        code: 'data-unusable',
        what: `${path} is not a folder`,
        advice: 'name another one, or move that away',
      },
    ]
  if (uid !== 0 && uid !== owner && kind === 'folder')
    return [
      {
        code: 'data-owner',
        what: `${path} belongs to the user with id ${owner}, this runs as ${uid}`,
        advice: `${may} ${owner}`,
      },
      ...socketMistakes,
    ]
  if (databaseOwner !== undefined && databaseOwner !== owner)
    return [
      {
        code: 'data-owner',
        what: `what is in ${path} belongs to the user with id ${databaseOwner}, the folder to ${owner}: it was once run as another user`,
        advice: `${may} ${owner}`,
      },
      ...socketMistakes,
    ]
  if (refused !== undefined)
    return [
      {
        code: 'data-unusable',
        what: `${path} cannot be written to: ${refused}`,
        advice: 'mend that, or name another folder',
      },
    ]
  if (freeBytes < leastBytes || freeFiles < leastFiles) {
    const left = freeFiles < leastFiles ? `${freeFiles} files` : `${Math.floor(freeBytes / 1024 / 1024)} MiB`
    return [
      {
        code: 'data-full',
        what: `the disk of ${path} has room for no more than ${left}`,
        advice: 'make room there, or give the cache a smaller budget (kind: cache in the policies)',
      },
      ...socketMistakes,
    ]
  }
  return socketMistakes
}

function socketMistake(socket: string): Mistake[] {
  const length = Buffer.byteLength(socket)
  if (length <= longestSocketPath) return []
  return [
    {
      code: 'socket-name-long',
      what: `${socket} is ${length} bytes long, and a socket may have ${longestSocketPath}: commands cannot reach a node there`,
      advice: 'keep the data in a folder with a shorter path',
    },
  ]
}

async function statOf(path: string) {
  try {
    return await stat(path)
  } catch {
    return undefined
  }
}

async function nearestThere(path: string): Promise<string> {
  const above = dirname(path)
  return above === path || (await statOf(above)) ? above : nearestThere(above)
}

async function refusalOf(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    const code = errorCodeOf(error)
    if (code === 'EROFS') return 'the file system is read-only'
    return code === 'EACCES' ? 'this user may not' : String(code)
  }
}
