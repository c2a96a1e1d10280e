import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { unlessAbsent } from '../flow/unless-absent.ts'

/** Growing files that earlier fills have left: the next one of the same blob goes on from them. */
export interface Leftovers {
  /** What they take of the disk. */
  readonly bytes: number
  /** A fill goes on from it: resolves when it may open the file, which then stays until it is left. */
  takeUp(id: string): Promise<void>
  /** A fill has ended, and perhaps left its file. */
  leave(id: string): Promise<void>
  /** Removes the oldest until `bytes` are free, and in any case what was left before that time. @returns how many are */
  drop(bytes: number, leftBefore: number): Promise<number>
}

interface Leftover {
  bytes: number
  /** Milliseconds since 1970. */
  leftAt: number
}

/** What an earlier process has left in `directory`, the oldest first. */
export async function findLeftovers(directory: string): Promise<Leftovers> {
  const files = new Map<string, Leftover>()
  const inUse = new Set<string>()
  const dropping = new Map<string, Promise<void>>()
  let bytes = 0

  async function look(id: string): Promise<void> {
    const stats = await unlessAbsent(stat(join(directory, `${id}.part`)))
    forget(id)
    if (!stats) return
    const file = { bytes: stats.blocks * 512, leftAt: stats.mtimeMs }
    files.set(id, file)
    bytes += file.bytes
  }
  function forget(id: string): void {
    bytes -= files.get(id)?.bytes ?? 0
    files.delete(id)
  }
  async function remove(id: string): Promise<void> {
    const names = ['part', 'part.extents', 'marks'].map((kind) => join(directory, `${id}.${kind}`))
    // One that cannot be removed is still there, and is counted.
    await Promise.all(names.map((name) => rm(name, { force: true }))).catch(() => {})
    await look(id)
    dropping.delete(id)
  }
  for (const name of await readdir(directory))
    if (name.endsWith('.part')) await look(name.slice(0, -'.part'.length))

  return {
    get bytes() {
      return bytes
    },
    async takeUp(id) {
      inUse.add(id)
      await dropping.get(id)
    },
    async leave(id) {
      await look(id)
      inUse.delete(id)
    },
    async drop(wanted, leftBefore) {
      const before = bytes
      const oldest = [...files].sort(([, one], [, other]) => one.leftAt - other.leftAt)
      for (const [id, { leftAt }] of oldest) {
        if (inUse.has(id) || (before - bytes >= wanted && leftAt >= leftBefore)) continue
        const removal = dropping.get(id) ?? remove(id)
        dropping.set(id, removal)
        await removal
      }
      return before - bytes
    },
  }
}
