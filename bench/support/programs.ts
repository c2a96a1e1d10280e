import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** What a question cannot do without is not on this machine. */
export class MissingProgramError extends Error {
  override readonly name = 'MissingProgramError'
}

/** Where tools are that were built for this repository, before those of the system. */
const tools = join(process.env.OUTPORT_TOOLS ?? '/opt/outport-tools', 'bin')
const folders = [
  ...new Set([
    tools,
    ...(process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''),
    // Not on everybody's PATH, but where servers are.
    '/usr/local/sbin',
    '/usr/sbin',
  ]),
]

/** @returns its path */
export function findProgram(name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isProgram)
}

/** @throws MissingProgramError */
export function programPath(name: string, use: string): string {
  const path = findProgram(name)
  if (path === undefined)
    throw new MissingProgramError(`${use} is not here: no program "${name}" in ${tools} or on the PATH`)
  return path
}

/** What it prints when asked for its version, in one line. */
export async function versionOf(program: string, parameter = '--version'): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, [parameter], { timeout: 10_000 })
  return (stdout || stderr).trim().split('\n')[0] ?? ''
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
