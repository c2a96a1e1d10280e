import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The folders below one root. */
export interface Folders {
  /** When it resolves, `folder` is there and survives a power cut. */
  ensure(folder: string): Promise<void>
  /** Something went wrong in `folder`: it may have been removed behind our back. */
  forget(folder: string): void
}

/**
 * There are at most a few hundred folders: each is made and synced once in the life of the process. `root` and what is
 * asked for are absolute.
 */
export function createFolders({ root, durable }: { root: string; durable: boolean }): Folders {
  const ready = new Map<string, Promise<void>>()

  async function make(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    if (!durable) return
    // Also when it was there before: whoever made it may have died before its name was synced.
    for (let parent = dirname(folder); parent.startsWith(root); parent = dirname(parent))
      await syncFolder(parent)
    await syncFolder(dirname(root))
  }

  return {
    ensure(folder) {
      const known = ready.get(folder)
      if (known) return known
      const made = make(folder)
      ready.set(folder, made)
      made.catch(() => ready.delete(folder))
      return made
    },
    forget(folder) {
      ready.delete(folder)
    },
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
