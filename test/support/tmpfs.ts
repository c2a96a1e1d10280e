import { spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from './temporary.ts'

/** Whether this user may mount. */
export function canMount(): boolean {
  return spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
}

/** A file system in memory that is full after `size`, such as `2m`. */
export async function mountTmpfs(size: string): Promise<{ path: string } & AsyncDisposable> {
  const directory = await temporaryDirectory()
  const path = join(directory.path, 'disk')
  await mkdir(path)
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path])
  if (status !== 0) throw new Error(`mount: ${stderr}`)
  return {
    path,
    async [Symbol.asyncDispose]() {
      spawnSync('umount', ['--lazy', path])
      await directory[Symbol.asyncDispose]()
    },
  }
}
