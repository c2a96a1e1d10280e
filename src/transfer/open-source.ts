import { readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { type ArchiveOptions, openArchive } from './archive.ts'
import { openLayout } from './layout.ts'
import { openRegistryFolder } from './registry-folder.ts'
import { reasonOf, type Source } from './source.ts'

/**
 * A registry's data folder, at whatever level it is named, or an OCI image layout in a folder or a tar.
 * @throws in one line when it is neither
 */
export async function openSource(
  path: string,
  options: ArchiveOptions,
  signal: AbortSignal,
): Promise<Source> {
  try {
    const stats = await stat(path)
    if (stats.isFile()) return await openArchive(path, options, signal)
    if (!stats.isDirectory()) throw new Error(`${path} is neither a folder nor a file`)
    return await openFolder(await realpath(path), path, options)
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'syscall' in error)
      throw new Error(`${path}: ${reasonOf(error)}`, { cause: error })
    throw error
  }
}

async function openFolder(root: string, path: string, { onFault }: ArchiveOptions): Promise<Source> {
  const names = await readdir(root)
  if (names.includes('oci-layout')) return openLayout(root, onFault)
  for (const folder of [root, ...levels.map((level) => join(root, level)), ...above(root)]) {
    const entries = (await unlessAbsent(readdir(folder))) ?? []
    if (entries.includes('repositories') && entries.includes('blobs'))
      return openRegistryFolder(await realpath(folder), onFault)
  }
  if (names.length === 0) throw new Error(`${path} is empty`)
  if (names.includes('manifest.json'))
    throw new Error(`${path} is an old docker archive: expected an OCI image layout`)
  throw new Error(
    `${path} is neither the data of a registry, with docker/registry/v2/repositories in it, nor an OCI image layout`,
  )
}

const levels = ['docker/registry/v2', 'registry/v2', 'v2']

function above(root: string): string[] {
  return ['repositories', 'blobs'].includes(basename(root)) ? [dirname(root)] : []
}
