import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

export interface LogLine {
  msg?: string
  [field: string]: unknown
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/** What one process, or several one after another, have said. */
export interface Journal {
  /** The JSON lines of standard output. */
  readonly lines: readonly LogLine[]
  /** Everything from both streams. */
  text(): string
  follow(child: ChildProcess): void
  /** Resolves with the first line from index `from` on, already there or to come, that matches. */
  first(matches: (line: LogLine) => boolean, from: number): Promise<LogLine>
}

export function createJournal(): Journal {
  const lines: LogLine[] = []
  const raw: string[] = []
  const waiting = new Set<() => void>()

  function read(stream: Readable | null, isLog: boolean): void {
    if (!stream) return
    createInterface({ input: stream }).on('line', (line) => {
      raw.push(line)
      const parsed = isLog ? logLineOf(line) : undefined
      if (!parsed) return
      lines.push(parsed)
      for (const look of waiting) look()
    })
  }

  return {
    lines,
    text: () => raw.join('\n'),
    follow(child) {
      read(child.stdout, true)
      read(child.stderr, false)
    },
    first(matches, from) {
      return new Promise((resolve) => {
        function look(): void {
          const found = lines.slice(from).find(matches)
          if (!found) return
          waiting.delete(look)
          resolve(found)
        }
        waiting.add(look)
        look()
      })
    },
  }
}

function logLineOf(line: string): LogLine | undefined {
  try {
    const parsed: unknown = JSON.parse(line)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : undefined
  } catch {
    return undefined
  }
}

export interface NodeProcess {
  readonly pid: number
  readonly exited: Promise<Exit>
  /** Sends the signal if the process still runs, and settles when it is gone. */
  end(signal: NodeJS.Signals): Promise<Exit>
}

export interface StartOptions {
  /** What is run with the arguments, default this Node. */
  program?: string
  /** A program, with its arguments, that prepares the ground and then becomes the one that follows it. */
  through?: readonly string[]
  directory?: string
}

/**
 * Starts a Node program with exactly this environment.
 * @throws when it cannot be started at all
 */
export async function startNode(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  journal: Journal,
  { program = process.execPath, through = [], directory }: StartOptions = {},
): Promise<NodeProcess> {
  const [first = program, ...rest] = [...through, program, ...args]
  const child = spawn(first, rest, { env, cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = once(child, 'close').then(([code, signal]): Exit => ({ code, signal }))
  exited.catch(() => {})
  // A test that runs out of time takes its whole process with it, and what it started must not outlive that.
  const orphaned = (): void => void child.kill('SIGKILL')
  process.once('exit', orphaned)
  child.once('close', () => process.off('exit', orphaned))
  journal.follow(child)
  await once(child, 'spawn')
  return {
    pid: child.pid ?? Number.NaN,
    exited,
    end(signal) {
      child.kill(signal)
      return exited
    },
  }
}

const inherited = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'NODE_COMPILE_CACHE', 'NODE_DISABLE_COMPILE_CACHE']

/** What a program needs of our own environment: no proxies and no settings that somebody has there. */
export function plainEnvironment(): Record<string, string> {
  return Object.fromEntries(
    inherited.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  )
}
