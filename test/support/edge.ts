import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { sumOf } from './metrics.ts'
import {
  createJournal,
  type Exit,
  type Journal,
  type LogLine,
  type NodeProcess,
  plainEnvironment,
  type StartOptions,
  startNode,
} from './node-process.ts'
import { temporaryDirectory } from './temporary.ts'

export { mirrorPolicies, mirrorPolicy } from './mirror-policy.ts'

export interface EdgeOptions {
  /** Texts by file name, or a folder that is there; `null`: it is told of none. */
  policies: Readonly<Record<string, string>> | string | null
  /** On top of what {@link startEdge} sets itself: one registry door on a free port, the data and the policies. */
  env?: Readonly<Record<string, string>>
  /** The data directory; default one that goes with the edge. */
  data?: string
  nodeArgs?: readonly string[]
  /** The command `outport` of an installation, instead of this clone. */
  command?: string
  /** The `outport.js` of another version, instead of this clone's. */
  entry?: string
  /** Where it is started, default here. */
  directory?: string
  /** A program that the edge is started by, and that becomes the edge: `unshare`, `strace -D`, a shell with `exec`. */
  through?: readonly string[]
}

/** Outport in a process of its own, started as its users start it. */
export interface Edge extends AsyncDisposable {
  /** Of the registry door, without a trailing slash. */
  readonly url: string
  /** @throws when `OUTPORT_MIRROR_LISTEN` was not given. */
  readonly mirrorUrl: string
  readonly host: string
  readonly port: number
  readonly pid: number
  readonly data: string
  /** The folder its policies are in. */
  readonly policies: string
  /** JSON lines of its standard output, over all its starts. */
  readonly logs: readonly LogLine[]
  /** Everything it wrote, to either stream. */
  output(): string
  /** Resolves with the first line, already there or to come, that matches. */
  logged(matches: (line: LogLine) => boolean): Promise<LogLine>
  /** Sum over all series with these labels. @throws for a metric that is not declared. */
  metrics(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  /** Bytes. */
  rss(): Promise<number>
  /** User and system time since the start of the process. */
  cpuSeconds(): Promise<number>
  /** Settles at the end of the process that runs now. */
  readonly exited: Promise<Exit>
  /** SIGTERM. */
  stop(): Promise<Exit>
  kill(): Promise<Exit>
  /** On the same data and the same ports; a process that still runs is stopped first. */
  restart(): Promise<void>
}

type Face = 'registry' | 'mirror'
type Faces = Partial<Record<Face, string>>

const ownEntry = join(import.meta.dirname, '../../outport.js')
const startDeadlineMs = 30_000

export async function startEdge(options: EdgeOptions): Promise<Edge> {
  await using owned = new AsyncDisposableStack()
  const scratch = owned.use(await temporaryDirectory())
  const data = options.data ?? join(scratch.path, 'data')
  const policies = typeof options.policies === 'string' ? options.policies : join(scratch.path, 'policies')
  if (typeof options.policies === 'object' && options.policies) await writeFiles(policies, options.policies)
  const journal = createJournal()
  const given = { OUTPORT_LISTEN: '127.0.0.1:0', ...options.env }
  const told = { ...(options.policies !== null && { OUTPORT_POLICIES: policies }), ...given }
  const env = { ...plainEnvironment(), OUTPORT_DATA: data, ...told }
  const { command, entry = ownEntry, nodeArgs = [], through = [], directory } = options
  const args = command === undefined ? [...nodeArgs, entry, 'serve'] : ['serve']
  const start = {
    through,
    ...(command !== undefined && { program: command }),
    ...(directory && { directory }),
  }
  let running = await launch(args, env, journal, start)
  owned.defer(async () => {
    await running.process.end('SIGKILL')
  })
  const doorOf = (face: Face): string => {
    const url = running.faces[face]
    if (url === undefined) throw new Error(`this edge has no ${face} door`)
    return url
  }

  const held = owned.move()
  return {
    get url() {
      return doorOf('registry')
    },
    get mirrorUrl() {
      return doorOf('mirror')
    },
    get host() {
      return new URL(doorOf('registry')).host
    },
    get port() {
      return Number(new URL(doorOf('registry')).port)
    },
    get pid() {
      return running.process.pid
    },
    get exited() {
      return running.process.exited
    },
    data,
    policies,
    logs: journal.lines,
    output: journal.text,
    logged: (matches) => journal.first(matches, 0),
    async metrics(name, labels) {
      const response = await fetch(`${doorOf('registry')}/metrics`)
      return sumOf(await response.text(), name, labels)
    },
    rss: () => residentBytes(running.process.pid),
    cpuSeconds: () => cpuSeconds(running.process.pid),
    stop: () => running.process.end('SIGTERM'),
    kill: () => running.process.end('SIGKILL'),
    async restart() {
      await running.process.end('SIGTERM')
      running = await launch(args, { ...env, ...samePorts(given, running.faces) }, journal, start)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

interface Running {
  process: NodeProcess
  faces: Faces
}

async function launch(
  args: readonly string[],
  env: Record<string, string>,
  journal: Journal,
  start: StartOptions,
): Promise<Running> {
  const { OUTPORT_MIRROR_LISTEN: mirror = 'off' } = env
  const wanted: Face[] = mirror === 'off' ? ['registry'] : ['registry', 'mirror']
  const from = journal.lines.length
  const process = await startNode(args, env, journal, start)
  const deadline = Promise.withResolvers<never>()
  const timer = setTimeout(() => deadline.reject(new Error('not listening')), startDeadlineMs)
  const failed = process.exited.then(({ code, signal }) => {
    throw new Error(`ended with ${code ?? signal}`)
  })
  try {
    const opened = wanted.map(async (face): Promise<[Face, string]> => {
      const line = await journal.first(({ msg, face: open }) => msg === 'listening' && open === face, from)
      return [face, String(line.url).replace(/\/$/, '')]
    })
    const faces = Object.fromEntries(await Promise.race([Promise.all(opened), failed, deadline.promise]))
    failed.catch(() => {})
    return { process, faces }
  } catch (cause) {
    await process.end('SIGKILL')
    throw new Error(`outport did not start: ${journal.text()}`, { cause })
  } finally {
    clearTimeout(timer)
  }
}

/** The doors that were on any free port stay where they are. */
function samePorts(given: Readonly<Record<string, string>>, faces: Faces): Record<string, string> {
  const names = { registry: 'OUTPORT_LISTEN', mirror: 'OUTPORT_MIRROR_LISTEN' } as const
  const doors = Object.entries(faces).flatMap(([face, url]) => {
    const name = names[face as Face]
    return given[name]?.endsWith(':0') === true ? [[name, url]] : []
  })
  return Object.fromEntries(doors)
}

async function writeFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(folder)
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
}

/** proc(5): `VmRSS`, in KiB. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

/** proc(5): `utime` and `stime` are the 14th and 15th field, counted in hundredths of a second. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
