import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobStore } from '../../../src/blobs/blob-store.ts'
import { createFsBlobStore } from '../../../src/blobs/fs.ts'
import { algorithmOf, type Digest, hexOf } from '../../../src/oci/digest.ts'
import type { BlobStoreHome } from '../../suites/blob-store-suite.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

export interface FsHome extends BlobStoreHome {
  blobs: BlobStore
  directory: string
  quarantine: string
  /** What was put aside, in order. */
  rotten: Digest[]
  pathOf(digest: Digest): string
  /** The same files, seen by a store that knows nothing of them. */
  restart(): BlobStore
}

type Durability = 'full' | 'fast'

export async function fsHome(durability: Durability = 'full'): Promise<FsHome> {
  const root = await temporaryDirectory()
  const directory = join(root.path, 'blobs')
  const drafts = join(root.path, 'uploads')
  await mkdir(drafts)
  const rotten: Digest[] = []
  const restart = () => storeIn(root.path, durability, (digest) => rotten.push(digest))
  return {
    blobs: restart(),
    directory,
    drafts,
    quarantine: join(root.path, 'quarantine'),
    rotten,
    pathOf: (digest) => join(directory, algorithmOf(digest), hexOf(digest).slice(0, 2), hexOf(digest)),
    restart,
    [Symbol.asyncDispose]: () => root[Symbol.asyncDispose](),
  }
}

export function storeIn(
  root: string,
  durability: Durability = 'full',
  onRotten: (digest: Digest) => void = () => {},
): BlobStore {
  return createFsBlobStore({
    directory: join(root, 'blobs'),
    drafts: join(root, 'uploads'),
    quarantine: join(root, 'quarantine'),
    durability,
    lifetime: new AbortController().signal,
    onRotten,
  })
}
