import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { toolPath } from '../../support/tools.ts'

const calls = { sync: 'fsync', datasync: 'fdatasync', write: 'pwrite64,pwritev,pwritev2' } as const

/** Doing that with the file fails in that process, until it is disposed. */
export async function failing(
  pid: number,
  what: keyof typeof calls,
  file: string,
  error: 'EIO' | 'ENOSPC',
): Promise<AsyncDisposable> {
  const options = ['-f', '-o', '/dev/null', '-P', file, '-e', `trace=${calls[what]}`]
  const tracer = spawn(
    toolPath('strace'),
    [...options, '-e', `inject=${calls[what]}:error=${error}`, '-p', `${pid}`],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const exited = once(tracer, 'exit')
  for await (const line of createInterface({ input: tracer.stderr })) if (line.includes('attached')) break
  tracer.stderr.resume()
  return {
    async [Symbol.asyncDispose]() {
      tracer.kill('SIGTERM')
      await exited
    },
  }
}
