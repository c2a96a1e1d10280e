import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fetchBlob } from '../../test/support/fetch-blob.ts'
import { plainEnvironment } from '../../test/support/node-process.ts'
import { temporaryDirectory } from '../../test/support/temporary.ts'
import type { Launch, Server } from './servers/server.ts'

/** A server that answers. Disposing it ends it with all it has started, and removes what it kept. */
export interface RunningServer extends AsyncDisposable {
  readonly name: string
  /** Without a trailing slash. */
  readonly url: string
  readonly pid: number
  /** From the start of the process until `/v2/` said 200, or who may ask. */
  readonly readyMs: number
  /** SIGKILL, to all of it at once; settles when it is gone. What it has on disk stays until the disposal. */
  kill(): Promise<void>
}

/** A server with its folder and its port, to be started as often as wanted. Disposing it removes the folder. */
export interface Installation extends AsyncDisposable {
  /** Holds everything that the server keeps. */
  readonly folder: string
  start(signal: AbortSignal): Promise<RunningServer>
}

const startDeadlineMs = 30_000
const askAgainMs = 5
const stopDeadlineMs = 10_000

export async function install(server: Server, upstream: string): Promise<Installation> {
  await using owned = new AsyncDisposableStack()
  const { path: folder } = owned.use(await temporaryDirectory())
  const port = await freePort()
  const launch = await server.prepare({ port, folder, upstream })
  const held = owned.move()
  return {
    folder,
    start: (signal) => launchServer(server.name, { port, folder, launch }, signal),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

export async function startServer(
  server: Server,
  upstream: string,
  signal: AbortSignal,
): Promise<RunningServer> {
  await using owned = new AsyncDisposableStack()
  const installation = owned.use(await install(server, upstream))
  const running = owned.use(await installation.start(signal))
  const held = owned.move()
  return { ...running, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

interface Seat {
  port: number
  folder: string
  launch: Launch
}

async function launchServer(name: string, seat: Seat, signal: AbortSignal): Promise<RunningServer> {
  const { port, folder, launch } = seat
  const { program, args, env } = launch
  await using owned = new AsyncDisposableStack()
  const journal = join(folder, 'said.log')
  const said = await open(journal, 'a')

  signal.throwIfAborted()
  const startedAt = performance.now()
  // A process group of its own, so that it can be ended whole.
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...plainEnvironment(), ...env },
    stdio: ['ignore', said.fd, said.fd],
    detached: true,
  })
  owned.defer(() => end(child))
  await Promise.all([once(child, 'spawn'), said.close()])
  const url = `http://127.0.0.1:${port}`
  try {
    await answering(url, child, AbortSignal.any([signal, AbortSignal.timeout(startDeadlineMs)]))
  } catch (cause) {
    throw new Error(`${name} did not start: ${await readFile(journal, 'utf8')}`, { cause })
  }
  const readyMs = performance.now() - startedAt

  const held = owned.move()
  return {
    name,
    url,
    pid: child.pid ?? Number.NaN,
    readyMs,
    kill: () => kill(child),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

async function answering(url: string, child: ChildProcess, signal: AbortSignal): Promise<void> {
  for (;;) {
    if (hasEnded(child)) throw new Error(`ended with ${child.exitCode ?? child.signalCode}`)
    signal.throwIfAborted()
    const status = await fetchBlob(`${url}/v2/`, { signal }).then(
      (fetched) => fetched.status,
      () => undefined,
    )
    if (status === 200 || status === 401) return
    await pause(askAgainMs, undefined, { signal })
  }
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = hasEnded(child) ? undefined : once(child, 'exit')
  if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL')
  await exit
}

/** SIGTERM to the group and, for what is then still there, SIGKILL. */
async function end(child: ChildProcess): Promise<void> {
  const { pid } = child
  if (pid === undefined) return
  if (!hasEnded(child)) {
    const exit = once(child, 'exit')
    signalGroup(pid, 'SIGTERM')
    const killer = setTimeout(() => signalGroup(pid, 'SIGKILL'), stopDeadlineMs)
    await exit
    clearTimeout(killer)
  }
  signalGroup(pid, 'SIGKILL')
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const bound = server.address()
  server.close()
  await once(server, 'close')
  if (typeof bound !== 'object' || !bound) throw new Error('no port')
  return bound.port
}
