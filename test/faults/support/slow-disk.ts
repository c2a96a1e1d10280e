import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { toolPath } from '../../support/tools.ts'

/** What Node and SQLite write files with; sockets and the event loop's own wake-up use others. */
const calls = 'pwrite64,pwritev,pwritev2,fsync,fdatasync'

/** Every write to a file by this process, in whatever thread, takes so much longer until it is disposed. */
export async function slowDisk(pid: number, delayMs: number): Promise<AsyncDisposable> {
  const tracer = spawn(
    toolPath('strace'),
    [
      '-f',
      '-o',
      '/dev/null',
      '-p',
      `${pid}`,
      '-e',
      `trace=${calls}`,
      '-e',
      `inject=${calls}:delay_enter=${delayMs * 1000}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const exited = once(tracer, 'exit')
  const threads = readdirSync(`/proc/${pid}/task`).length
  let attached = 0
  for await (const line of createInterface({ input: tracer.stderr })) {
    attached += Number(/with (\d+) threads/.exec(line)?.[1] ?? (line.includes('attached') ? 1 : 0))
    if (attached >= threads) break
  }
  if (attached < threads) throw new Error('strace could not attach')
  tracer.stderr.resume()
  return {
    async [Symbol.asyncDispose]() {
      tracer.kill('SIGTERM')
      await exited
    },
  }
}
