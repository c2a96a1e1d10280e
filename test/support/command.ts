import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { plainEnvironment } from './node-process.ts'

export interface Said {
  code: number
  stdout: string
  stderr: string
}

const entry = join(import.meta.dirname, '../../outport.js')

/** Runs `outport` to its end, as somebody types it. @param through a program that becomes it, with its arguments */
export function outport(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  through: readonly string[] = [],
): Promise<Said> {
  const [program = process.execPath, ...rest] = [...through, process.execPath, entry, ...args]
  const options = { env: { ...plainEnvironment(), ...env }, timeout: 60_000 }
  return new Promise((resolve) => {
    execFile(program, rest, options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : Number.NaN) : 0
      resolve({ code, stdout, stderr })
    })
  })
}
