import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

const programs = ['dash', 'env', 'readlink', 'uname', 'dirname', 'mkdir', 'rm', 'chown', 'chmod']

/**
 * Makes in `folder` the little of Debian that the image is built from and runs on, out of this machine's own files.
 * @param node what it must be able to run beside those programs
 */
export async function makeBaseFiles(folder: string, node: string): Promise<void> {
  const bin = join(folder, 'usr/bin')
  await mkdir(bin, { recursive: true })
  await symlink('usr/bin', join(folder, 'bin'))
  await symlink('dash', join(bin, 'sh'))
  await mkdir(join(folder, 'tmp'))
  await chmod(join(folder, 'tmp'), 0o1777)
  for (const name of programs) {
    const { stdout } = await run('which', [name])
    await cp(stdout.trim(), join(bin, name), { dereference: true })
    await copyLibraries(stdout.trim(), folder)
  }
  await copyLibraries(node, folder)
}

/** ld.so(8): what `ldd` lists, at the same places. */
async function copyLibraries(program: string, folder: string): Promise<void> {
  const { stdout } = await run('ldd', [program])
  for (const [library] of stdout.matchAll(/\/\S+/g)) {
    await mkdir(join(folder, dirname(library)), { recursive: true })
    await cp(library, join(folder, library), { dereference: true })
  }
}
