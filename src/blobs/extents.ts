import { constants, type FileHandle, open, rename, rm, writeFile } from 'node:fs/promises'

/** A blob's bytes are hashed in pieces of this size, so that one piece can be checked and mended. */
export const extentBytes = 4 * 1024 * 1024

/** Hex of a SHA-256, and the end of its line. */
export const lineBytes = 65

/** A blob of no bytes has one, too. */
export function extentCountOf(size: number): number {
  return Math.max(1, Math.ceil(size / extentBytes))
}

/**
 * The SHA-256 of every extent of a blob of `size`, a line each; `undefined` when the file is not there or is not about
 * so many bytes. Never waits for or follows what somebody put in its place.
 */
export async function readExtents(file: string, size: number): Promise<string[] | undefined> {
  const length = extentCountOf(size) * lineBytes
  try {
    await using handle = await openUnlinked(file)
    const stats = await handle.stat()
    if (!stats.isFile() || stats.size !== length) return undefined
    return (await handle.readFile('latin1')).trimEnd().split('\n')
  } catch {
    // Without it, or with a wrong one, the whole blob is hashed.
    return undefined
  }
}

/** The file as the blob's digest says it must be; `draft` is where it stands until it is whole. */
export async function writeExtents(file: string, lines: readonly string[], draft: string): Promise<void> {
  try {
    await writeFile(draft, textOf(lines), { mode: 0o600, flag: 'wx' })
    await rename(draft, file)
  } finally {
    await rm(draft, { force: true })
  }
}

/** What {@link readExtents} reads. */
export function textOf(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}

/** Opens a file for reading and nothing that only looks like one: no link is followed, no pipe waited for. */
export function openUnlinked(file: string): Promise<FileHandle> {
  return open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
}
