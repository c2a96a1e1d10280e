import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { stringify } from 'yaml'
import { sumOf } from './metrics.ts'
import { temporaryDirectory } from './temporary.ts'

export interface EdgeOptions {
  /** Texts by file name, or a folder that is there. */
  policies: Readonly<Record<string, string>> | string
  /** On top of what {@link startEdge} sets itself; nothing of the caller's own environment but PATH and the like. */
  env?: Readonly<Record<string, string>>
  /** The data directory; default one that goes with the edge. */
  data?: string
  nodeArgs?: readonly string[]
}

export interface LogLine {
  msg?: string
  [field: string]: unknown
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

/** Outport in a process of its own, started as its users start it. */
export interface Edge extends AsyncDisposable {
  /** Of the registry door, without a trailing slash. */
  readonly url: string
  /** @throws when it has no mirror door. */
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
  /** Settles at the end of the process that runs now. */
  readonly exited: Promise<Exit>
  stop(): Promise<Exit>
  kill(): Promise<Exit>
  /** On the same data and the same ports; ends the process first, in good order, where it still runs. */
  restart(): Promise<void>
}

const entry = join(import.meta.dirname, '../../outport.js')
const inherited = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'NODE_COMPILE_CACHE']
const startDeadlineMs = 30_000

export async function startEdge(options: EdgeOptions): Promise<Edge> {
  await using owned = new AsyncDisposableStack()
  const scratch = owned.use(await temporaryDirectory())
  const data = options.data ?? join(scratch.path, 'data')
  const policies = typeof options.policies === 'string' ? options.policies : scratch.path
  if (typeof options.policies !== 'string') await writePolicies(scratch.path, options.policies)

  const journal = createJournal()
  const env = { ...ownEnvironment(), OUTPORT_DATA: data, OUTPORT_POLICIES: policies, ...options.env }
  const launch = (ports: Partial<Faces>): Promise<Running> => {
    return launchEdge({ ...env, ...listenOn(ports, options.env) }, options.nodeArgs ?? [], journal)
  }
  let running = await launch({})
  owned.defer(async () => void (await end(running, 'SIGKILL')))

  const held = owned.move()
  return {
    get url() {
      return running.faces.registry
    },
    get mirrorUrl() {
      if (running.faces.mirror === undefined) throw new Error('this edge has no mirror door')
      return running.faces.mirror
    },
    get host() {
      return new URL(running.faces.registry).host
    },
    get port() {
      return Number(new URL(running.faces.registry).port)
    },
    get pid() {
      return running.pid
    },
    data,
    policies,
    logs: journal.lines,
    output: journal.text,
    logged: (matches) => journal.first(matches, 0),
    metrics: async (name, labels) => sumOf(await (await fetch(`${running.faces.registry}/metrics`)).text(), name, labels),
    rss: () => residentBytes(running.pid),
    get exited() {
      return running.exited
    },
    stop: () => end(running, 'SIGTERM'),
    kill: () => end(running, 'SIGKILL'),
    async restart() {
      await end(running, 'SIGTERM')
      running = await launch(running.faces)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Policies of a mirror of `upstream` for docker.io, one field or another of its documents changed. */
export function mirrorPolicy(
  upstream: { readonly url: string; readonly ca?: string },
  overrides: { registry?: object; project?: object; more?: readonly object[] } = {},
): string {
  const registry = { kind: 'registry', name: 'upstream', type: 'docker-registry', url: upstream.url, ns: 'docker.io' }
  const project = { kind: 'project', name: 'docker.io', proxy: 'upstream', public: true }
  const documents = [
    { ...registry, ...(upstream.ca !== undefined && { ca: upstream.ca }), ...overrides.registry },
    { ...project, ...overrides.project },
    ...(overrides.more ?? []),
  ]
  return documents.map((document) => stringify(document)).join('---\n')
}
