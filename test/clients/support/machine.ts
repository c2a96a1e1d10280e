import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  attempt,
  type CommandOptions,
  type DaemonOptions,
  type Finished,
  run,
  startDaemon,
} from './command.ts'

/**
 * A client's machine: mounts, processes, /etc and host names of its own; the network of this one.
 * Disposal ends every process in it, takes its mounts away and deletes its directory.
 */
export interface Machine extends AsyncDisposable {
  /** Short enough for Unix sockets below it, seen under the same path from outside. */
  readonly directory: string
  run(program: string, parameters: readonly string[], options?: CommandOptions): Promise<string>
  attempt(program: string, parameters: readonly string[], options?: CommandOptions): Promise<Finished>
  /** A daemon that ends with the machine. */
  start(program: string, parameters: readonly string[], options: DaemonOptions): Promise<void>
}

export interface MachineOptions {
  /** Host name → address, as its /etc/hosts says. Other names do not exist in it. */
  names?: Record<string, string>
  /** Path below /etc, such as `docker/daemon.json` → content; all else is as on this machine. */
  etc?: Record<string, string>
  /** A certificate file that everything in it trusts. */
  authority?: string
}

/**
 * It reads its standard input: when this process dies, however it dies, that one ends,
 * and the kernel ends the rest of its process namespace with it.
 */
const firstProcess = `
set -e
mount -t tmpfs tmpfs "$1/over"
mkdir "$1/over/work"
cp -a "$1/etc" "$1/over/etc"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/over/etc,workdir=$1/over/work" /etc
mount -t tmpfs tmpfs /run
echo ready
exec cat
`

export async function startMachine(options: MachineOptions = {}): Promise<Machine> {
  const directory = await mkdtemp('/tmp/om-')
  await writeEtc(join(directory, 'etc'), options)
  const holder = spawn(
    'unshare',
    [
      ...['--mount', '--pid', '--fork', '--mount-proc', '--kill-child', '--propagation', 'private'],
      ...['sh', '-c', firstProcess, 'sh', directory],
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const exit = once(holder, 'exit')
  const [said] = await Promise.race([once(holder.stdout, 'data'), exit])
  if (String(said).trim() !== 'ready') {
    await rm(directory, { recursive: true, force: true })
    throw new Error(`no namespaces to be had here: ${said}`)
  }
  const first = (await readFile(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8')).trim()

  const inside = (program: string, parameters: readonly string[]) => [
    ...['--target', first, '--mount', '--pid', '--', program],
    ...parameters,
  ]
  const withEnvironment = <Options extends { env?: Record<string, string> }>(given: Options) => ({
    ...given,
    env: { HOME: directory, ...(options.authority && { SSL_CERT_FILE: options.authority }), ...given.env },
  })
  return {
    directory,
    run: (program, parameters, given = {}) =>
      run('nsenter', inside(program, parameters), withEnvironment(given)),
    attempt: (program, parameters, given = {}) =>
      attempt('nsenter', inside(program, parameters), withEnvironment(given)),
    async start(program, parameters, given) {
      await startDaemon('nsenter', inside(program, parameters), withEnvironment(given))
    },
    async [Symbol.asyncDispose]() {
      holder.stdin.end()
      await exit
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function writeEtc(etc: string, { names, etc: files }: MachineOptions): Promise<void> {
  const hosts = Object.entries({ localhost: '127.0.0.1', ...names })
  const all = { hosts: hosts.map(([name, address]) => `${address} ${name}\n`).join(''), ...files }
  await mkdir(join(etc, '../over'), { recursive: true })
  for (const [path, content] of Object.entries(all)) {
    await mkdir(dirname(join(etc, path)), { recursive: true })
    await writeFile(join(etc, path), content)
  }
}
