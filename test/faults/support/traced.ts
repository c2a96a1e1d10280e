import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { toolPath } from '../../support/tools.ts'

/** All threads of that process run under `strace -f` with these options, until it is disposed. */
export async function traced(pid: number, options: readonly string[]): Promise<AsyncDisposable> {
  const tracer = spawn(toolPath('strace'), ['-f', ...options, '-p', `${pid}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
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
