import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCodeOf } from '../flow/error-code.ts'

/** The files of a client's machine. Nothing is ever written. */
export interface Machine {
  /** @param path absolute, as it would be below `/` */
  read(path: string): Promise<FileRead>
  /** Sorted; none where there is no such folder, or it cannot be read. */
  list(folder: string): Promise<string[]>
  /** What was asked for so far, in that order. */
  looked(): { read: string[]; absent: string[] }
}

export type FileRead =
  | { kind: 'text'; path: string; text: string }
  | { kind: 'absent'; path: string }
  | { kind: 'unreadable'; path: string; reason: string }

const maxBytes = 4 * 1024 * 1024

/** @param root is taken for `/` */
export function createMachine(root: string): Machine {
  const files = new Map<string, FileRead>()
  return {
    async read(path) {
      const known = files.get(path)
      if (known) return known
      const read = await readText(join(root, path), path)
      files.set(path, read)
      return read
    },
    async list(folder) {
      try {
        return (await readdir(join(root, folder))).sort()
      } catch {
        return []
      }
    },
    looked() {
      const all = [...files.values()]
      const pathsOf = (isAbsent: boolean) =>
        all.filter(({ kind }) => (kind === 'absent') === isAbsent).map(({ path }) => path)
      return { read: pathsOf(false), absent: pathsOf(true) }
    },
  }
}

async function readText(file: string, path: string): Promise<FileRead> {
  try {
    const found = await stat(file)
    // Opening a FIFO would wait for its writer.
    if (!found.isFile()) return { kind: 'unreadable', path, reason: 'it is no file' }
    if (found.size > maxBytes) return { kind: 'unreadable', path, reason: 'it is larger than 4 MiB' }
    await using handle = await open(file)
    return { kind: 'text', path, text: await handle.readFile('utf8') }
  } catch (error) {
    const code = errorCodeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'absent', path }
    const reason = code === 'EACCES' ? 'this user may not read it' : String(code ?? error)
    return { kind: 'unreadable', path, reason }
  }
}
