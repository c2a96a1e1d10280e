import { mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DigestAlgorithm } from '../oci/digest.ts'

/** The folders of a store: for each algorithm one for every two digits that a hash can begin with. */
export interface Folders {
  /** When it resolves, those of `algorithm` are there and survive a power cut. */
  ensure(algorithm: DigestAlgorithm): Promise<void>
  /** Something went wrong in one of them: it may have been removed behind our back. */
  forget(algorithm: DigestAlgorithm): void
}

const prefixes = Array.from({ length: 256 }, (_, at) => at.toString(16).padStart(2, '0'))

/** All of an algorithm are made and synced together, once in the life of the process. @param root absolute */
export function createFolders({ root, durable }: { root: string; durable: boolean }): Folders {
  const ready = new Map<DigestAlgorithm, Promise<void>>()

  async function make(algorithm: DigestAlgorithm): Promise<void> {
    const folder = join(root, algorithm)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await Promise.all(prefixes.map((prefix) => mkdir(join(folder, prefix), { recursive: true, mode: 0o700 })))
    if (!durable) return
    // Also when they were there before: whoever made them may have died before their names were synced.
    for (const each of [folder, root, dirname(root)]) await syncFolder(each)
  }

  return {
    ensure(algorithm) {
      const known = ready.get(algorithm)
      if (known) return known
      const made = make(algorithm)
      ready.set(algorithm, made)
      made.catch(() => ready.delete(algorithm))
      return made
    },
    forget(algorithm) {
      ready.delete(algorithm)
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
