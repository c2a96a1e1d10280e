import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

/** Checks passwords against bcrypt verifiers in a thread that is there as long as it has something to do. */
export interface Bcrypt extends AsyncDisposable {
  matches(password: string, verifier: string): Promise<boolean>
}

/** Apache's `htpasswd -B`, and what others write: `$2y$05$…`. Above 14 one login would take more than a second. */
const grammar = /^\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$/

export function isBcrypt(verifier: string): boolean {
  return grammar.test(verifier)
}

const idleMs = 60_000

export function createBcrypt(): Bcrypt {
  const waiting = new Map<number, PromiseWithResolvers<boolean>>()
  let worker: Worker | undefined
  let idle: NodeJS.Timeout | undefined
  let calls = 0

  function start(): Worker {
    const source = new URL(`./bcrypt-worker${extname(import.meta.url)}`, import.meta.url)
    const started = new Worker(source, { resourceLimits: { maxOldGenerationSizeMb: 32 } })
    const fail = (cause?: unknown) => {
      if (worker !== started) return
      worker = undefined
      for (const each of waiting.values()) each.reject(new Error('checking a password failed', { cause }))
      waiting.clear()
    }
    started.unref()
    started.on('error', fail)
    started.on('exit', () => fail())
    started.on('message', ({ id, matches }: { id: number; matches: boolean }) => {
      waiting.get(id)?.resolve(matches)
      waiting.delete(id)
      if (waiting.size === 0) rest()
    })
    return started
  }
  function rest(): void {
    clearTimeout(idle)
    idle = setTimeout(() => void end(), idleMs).unref()
  }
  async function end(): Promise<void> {
    clearTimeout(idle)
    const ended = worker
    worker = undefined
    for (const each of waiting.values()) each.reject(new Error('the node is stopping'))
    waiting.clear()
    await ended?.terminate()
  }

  return {
    matches(password, verifier) {
      clearTimeout(idle)
      worker ??= start()
      const id = calls++
      const outcome = Promise.withResolvers<boolean>()
      waiting.set(id, outcome)
      worker.postMessage({ id, password, verifier })
      return outcome.promise
    },
    [Symbol.asyncDispose]: end,
  }
}
