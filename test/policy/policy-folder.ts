import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Loaded, loadPolicies } from '../../src/policy/load.ts'
import { formatProblem } from '../../src/policy/problem.ts'
import type { Surroundings } from '../../src/policy/site-rules.ts'
import type { Site } from '../../src/projects/project.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export interface PolicyFolder extends AsyncDisposable {
  readonly path: string
  write(name: string, text: string | Buffer): Promise<void>
  load(given?: Given): Promise<Loaded>
}

export interface Given {
  env?: Record<string, string>
  surroundings?: Partial<Surroundings>
  file?(path: string): Promise<string>
}

/** A folder of these files, and the environment around it. */
export async function policyFolder(files: Record<string, string | Buffer>): Promise<PolicyFolder> {
  const directory = await temporaryDirectory()
  const path = join(directory.path, 'policies')
  await mkdir(path)

  async function write(name: string, text: string | Buffer): Promise<void> {
    await mkdir(dirname(join(path, name)), { recursive: true })
    // In one step, so that nobody finds half of it.
    await writeFile(join(path, '.next'), text)
    await rename(join(path, '.next'), join(path, name))
  }
  for (const [name, text] of Object.entries(files)) await write(name, text)

  return {
    path,
    write,
    load: (given = {}) => loadFrom(path, given),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

export function loadFrom(folder: string, { env = {}, surroundings, file }: Given = {}): Promise<Loaded> {
  return loadPolicies({
    folder,
    secrets: { env: (name) => env[name], file: file ?? ((path) => readFile(path, 'utf8')) },
    surroundings: { mirrorListen: 'off', mirror: { name: 'docker.io', set: false }, ...surroundings },
  })
}

/** The problems of one file with this text, as a person reads them, without the folder's own name. */
export async function problemsOf(text: string, given?: Given): Promise<string[]> {
  await using folder = await policyFolder({ 'a.yaml': text })
  return readable(await folder.load(given), folder)
}

export function readable(loaded: Loaded, folder: { path: string }): string[] {
  if ('site' in loaded) return []
  return loaded.problems.map((problem) => formatProblem(problem).replaceAll(`${folder.path}/`, ''))
}

export async function siteOf(text: string, given?: Given): Promise<Site> {
  await using folder = await policyFolder({ 'a.yaml': text })
  return siteIn(await folder.load(given))
}

export function siteIn(loaded: Loaded): Site {
  if ('site' in loaded) return loaded.site
  throw new Error(loaded.problems.map(formatProblem).join('\n'))
}
