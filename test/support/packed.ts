import { execFile } from 'node:child_process'
import { cp, mkdir, symlink } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { temporaryDirectory } from './temporary.ts'

/** The program as an operator has it who installed the packed file with npm. Disposing it removes the folder. */
export interface Installed extends AsyncDisposable {
  /** The file that `npm pack` made. */
  readonly tarball: string
  /** Where `npm install` ran: nothing else is in there. */
  readonly folder: string
  /** The command that npm put there. */
  readonly command: string
}

const root = join(import.meta.dirname, '../..')
const packed = [
  'bin',
  'deploy',
  'policies',
  'src',
  'outport.js',
  'package.json',
  'README.md',
  'rolldown.config.ts',
]

/** Packs this clone as it stands, and installs that in an empty folder. */
export async function installPacked(): Promise<Installed> {
  await using owned = new AsyncDisposableStack()
  const { path } = owned.use(await temporaryDirectory())
  const tarball = await pack(path)
  const folder = join(path, 'installed')
  await mkdir(folder)
  await npm(folder, ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball])
  const held = owned.move()
  return {
    tarball,
    folder,
    command: join(folder, 'node_modules/.bin/outport'),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** In a copy: the clone stays as it is while others use it. @returns the file */
async function pack(path: string): Promise<string> {
  const clone = join(path, 'clone')
  for (const name of packed) await cp(join(root, name), join(clone, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(clone, 'node_modules'))
  const { stdout } = await npm(clone, [
    'run',
    '--silent',
    'package',
    '--',
    '--json',
    '--pack-destination',
    path,
  ])
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf('[')))
  return join(path, filename)
}

/** As from the shell of somebody who has no other Node than the machine's. */
export function machineEnvironment(): Record<string, string> {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const path = folders.filter((folder) => !folder.endsWith('node_modules/.bin')).join(delimiter)
  return { PATH: path, HOME: process.env.HOME ?? '/' }
}

export function npm(folder: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const options = { cwd: folder, env: machineEnvironment(), timeout: 240_000 }
  return promisify(execFile)('npm', [...args], options)
}
