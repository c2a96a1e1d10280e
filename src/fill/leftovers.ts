import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { unlessAbsent } from '../flow/unless-absent.ts'

/** Growing files that nobody fills at the moment: the next fill of the same blob goes on from them. */
export interface Leftovers {
  /** What they take of the disk. */
  readonly bytes: number
  /** A fill goes on from it, and answers for its bytes: resolves when it may open the file. */
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
  const dropping = new Map<string, Promise<unknown>>()
  const fileOf = (id: string) => join(directory, `${id}.part`)
  let bytes = 0

  async function look(id: string): Promise<Leftover | undefined> {
    const stats = await unlessAbsent(stat(fileOf(id)))
    return stats && { bytes: stats.blocks * 512, leftAt: stats.mtimeMs }
  }
  function add(id: string, file: Leftover): void {
    forget(id)
    files.set(id, file)
    bytes += file.bytes
  }
  function forget(id: string): void {
    bytes -= files.get(id)?.bytes ?? 0
    files.delete(id)
  }

  const found: [string, Leftover][] = []
  for (const name of await readdir(directory)) {
    const id = name.endsWith('.part') && name.slice(0, -'.part'.length)
    const file = id && (await look(id))
    if (file) found.push([id, file])
  }
  for (const [id, file] of found.sort(([, one], [, other]) => one.leftAt - other.leftAt)) add(id, file)

  return {
    get bytes() {
      return bytes
    },
    async takeUp(id) {
      forget(id)
      await dropping.get(id)
    },
    async leave(id) {
      const file = await look(id)
      if (file) add(id, file)
    },
    async drop(wanted, leftBefore) {
      let dropped = 0
      for (const [id, file] of [...files]) {
        if (dropped >= wanted && file.leftAt >= leftBefore) break
        if (!files.has(id)) continue
        forget(id)
        const removal = remove(id).finally(() => dropping.delete(id))
        dropping.set(id, removal)
        await removal
        dropped += file.bytes
      }
      return dropped
    },
  }

  function remove(id: string): Promise<unknown> {
    const names = ['part', 'part.extents', 'marks'].map((kind) => join(directory, `${id}.${kind}`))
    return Promise.all(names.map((name) => rm(name, { force: true })))
  }
}
