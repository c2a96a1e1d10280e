import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

export interface CommandOptions {
  env?: Record<string, string>
  input?: string
  /** Milliseconds until it is killed. Default 60,000. */
  timeoutMs?: number
}

/** Runs a program to its end, whatever that is. */
export async function attempt(
  program: string,
  parameters: readonly string[],
  options: CommandOptions = {},
): Promise<Finished> {
  const child = spawn(program, parameters, {
    env: { ...plainEnvironment(), ...options.env },
    stdio: 'pipe',
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  })
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  child.stdin.on('error', () => {}) // it may have ended before it read
  child.stdin.end(options.input)
  const [code] = await once(child, 'close')
  return { code, stdout: stdout(), stderr: stderr() }
}

/** @throws with everything it said when it ends with another code than 0. */
export async function run(
  program: string,
  parameters: readonly string[],
  options?: CommandOptions,
): Promise<string> {
  const { code, stdout, stderr } = await attempt(program, parameters, options)
  if (code !== 0) {
    throw new Error(`${program} ${parameters.join(' ')}\nended with ${code}\n${stdout}${stderr}`)
  }
  return stdout
}

export interface Daemon extends AsyncDisposable {
  readonly pid: number
  /** What it has written so far, both streams. */
  said(): string
}

export interface DaemonOptions {
  env?: Record<string, string>
  /** Settles when the daemon answers; asked again and again until then. */
  ready: () => Promise<unknown>
  /** Default 20,000. */
  timeoutMs?: number
}

/** Starts a program that stays, and waits until `ready` holds. Disposal ends that one process and waits for it. */
export async function startDaemon(
  program: string,
  parameters: readonly string[],
  options: DaemonOptions,
): Promise<Daemon> {
  const child = spawn(program, parameters, {
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  const said = () => stdout() + stderr()
  try {
    await until(
      options.ready,
      () => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`${program} ended\n${said()}`)
      },
      options.timeoutMs ?? 20_000,
    )
  } catch (error) {
    await end(child)
    throw new Error(`${program} ${parameters.join(' ')}: not ready\n${said()}`, { cause: error })
  }
  return { pid: child.pid ?? 0, said, [Symbol.asyncDispose]: () => end(child) }
}

async function until(ready: () => Promise<unknown>, alive: () => void, timeoutMs: number): Promise<void> {
  const deadline = AbortSignal.timeout(timeoutMs)
  for (;;) {
    alive()
    try {
      await ready()
      return
    } catch (error) {
      if (deadline.aborted) throw error
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }
}

/** SIGTERM, then SIGKILL after 5 s. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  const killer = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await exit
  clearTimeout(killer)
}

/** Nothing of the surrounding machine but the search path: no proxies, no credentials, no foreign configuration. */
function plainEnvironment(): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LANG: 'C.UTF-8' }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}
