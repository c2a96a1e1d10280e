import { readFile, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setDefaultCACertificates } from 'node:tls'
import { type Config, surroundingsOf } from './config/config.ts'
import { createSecrets } from './config/secrets.ts'
import { armFailpoint } from './flow/failpoint.ts'
import { messageOf } from './flow/message-of.ts'
import { createLogger, type Logger } from './log.ts'
import { connectServiceManager, type ServiceManager } from './main/service-manager.ts'
import { type Loaded, loadPolicies } from './policy/load.ts'
import { formatProblem, formatWarning } from './policy/problem.ts'
import { watchPolicies } from './policy/watch.ts'
import { createServer, type Server } from './server.ts'
import { welcome } from './welcome.ts'

/** How long answers under way may take once the node is told to stop. */
const drainMs = 30_000

/** What keeps the node from starting, for the one who started it: lines, no stack. */
export class StartError extends Error {
  override readonly name = 'StartError'
}

/** Runs a node until it is told to stop. @throws StartError, or an Error of one line */
export async function serve(config: Config, version: string): Promise<void> {
  const log = createLogger(config.logLevels)
  await trust(config)
  armFailpoint(config.failpoint)
  const load = policyLoader(config)
  const first = await load()
  if ('problems' in first) throw new StartError(first.problems.map(formatProblem).join('\n'))
  for (const warning of first.warnings) log.part('policy').warn(formatWarning(warning))

  const stop = stopSignal()
  const manager = await connectServiceManager({
    env: process.env,
    pid: process.pid,
    onError: (err) => log.warn({ err }, 'the service manager cannot be told'),
  })
  const server = await createServer({ config, log, version, site: first.site, onPassword })
  try {
    surviveMistakes(log)
    followChanges({ config, server, load, from: first, log, signal: stop, manager })
    log.info({ folder: config.policies }, 'policies read')
    for (const { face, url } of server.doors) log.info({ face, url }, 'listening')
    process.stderr.write(welcome(config, server.doors, first.site))
    await manager.ready(statusOf(server))
    await aborted(stop)
    log.info('stopping')
    await manager.stopping()
    await server.drain(AbortSignal.timeout(drainMs))
  } finally {
    await server[Symbol.asyncDispose]()
  }
  log.info('stopped')
}

/** Neither the log nor a file ever holds it. */
function onPassword(name: string, password: string): void {
  process.stderr.write(
    `the password of ${name} is ${password}\nit is not shown again; OUTPORT_ADMIN_PASSWORD sets another one\n`,
  )
}

/** The same node without doors, for commands on data that no running node has. @throws as {@link serve} */
export async function openOffline(settings: Config, version: string): Promise<Server> {
  const { tlsCa: _, ...rest } = settings
  const config = { ...rest, listen: [], mirrorListen: 'off', metricsListen: [] } as const
  await trust(config)
  const loaded = await policyLoader(config)()
  if ('problems' in loaded) throw new StartError(loaded.problems.map(formatProblem).join('\n'))
  const { site } = loaded
  const quiet = {
    ...site,
    cache: { ...site.cache, scrub: false as const },
    gc: { ...site.gc, everyMs: false as const },
  }
  return createServer({ config, log: createLogger({ rest: 'silent', parts: {} }), version, site: quiet })
}

/** Reads what stands in the folder now. */
export function policyLoader(config: Config, folder = config.policies): () => Promise<Loaded> {
  const secrets = createSecrets(process.env)
  return async () => {
    const surroundings = surroundingsOf(config, await diskBytesOf(config.data))
    return loadPolicies({ folder, secrets, surroundings })
  }
}

/** Of the disk that holds `path`, or will. */
async function diskBytesOf(path: string): Promise<number | undefined> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      const { blocks, bsize } = await statfs(folder)
      return blocks * bsize
    } catch {
      if (folder === dirname(folder)) return undefined
    }
  }
}

/** `SSL_CERT_FILE` means here what it means to other programs. */
async function trust({ authorities }: Config): Promise<void> {
  if (authorities === undefined) return
  try {
    setDefaultCACertificates([await readFile(authorities, 'utf8')])
  } catch (cause) {
    throw new StartError(`SSL_CERT_FILE: cannot use ${authorities}: ${messageOf(cause)}`, { cause })
  }
}

interface Following {
  config: Config
  server: Server
  load: () => Promise<Loaded>
  /** What the server started with. */
  from: Loaded
  log: Logger
  signal: AbortSignal
  manager: ServiceManager
}

function statusOf({ doors }: Server): string {
  return `listens on ${doors.map(({ url }) => url).join(', ')}`
}

/** Policies are followed as they change; SIGHUP reads them and the certificates in any case. */
function followChanges({ config, server, load, from, log: all, signal, manager }: Following): void {
  const log = all.part('policy')
  const policies = watchPolicies({
    folder: config.policies,
    load,
    from,
    signal,
    onSite(site, warnings) {
      for (const warning of warnings) log.warn(formatWarning(warning))
      try {
        server.follow(site)
      } catch (err) {
        server.rejected(1)
        log.error({ err }, 'policies cannot be followed; the last good ones go on')
        return
      }
      log.info({ projects: site.projects.size, registries: site.registries.size }, 'policies loaded')
    },
    onProblems(problems) {
      server.rejected(problems.length)
      for (const problem of problems) log.error(formatProblem(problem))
      log.error('policies are wrong; the last good ones go on')
    },
  })
  const reloadPolicies = () => policies.reload().catch((err: unknown) => log.error({ err }, 'reload failed'))
  // What is wrong with them is in the log.
  const reloadCertificates = () => server.reloadCertificates().catch(() => {})
  const hangUp = async () => {
    await manager.reloading()
    await Promise.all([reloadPolicies(), reloadCertificates()])
    if (!signal.aborted) await manager.ready(statusOf(server))
  }
  process.on('SIGHUP', hangUp)
  signal.addEventListener('abort', () => process.off('SIGHUP', hangUp), { once: true })
}

function stopSignal(): AbortSignal {
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort())
  process.once('SIGINT', () => stop.abort())
  return stop.signal
}

/** One request that goes wrong in a way nobody thought of must not end the others. */
function surviveMistakes(log: Logger): void {
  process.on('uncaughtException', (err) => log.error({ err }, 'uncaught exception'))
  process.on('unhandledRejection', (err) => log.error({ err }, 'unhandled rejection'))
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
