import type { Handler } from 'hono'
import { type Action, type Caller, decide, mayListPrivate } from '../auth/access.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Via } from '../flow/via.ts'
import { type HttpContext, type HttpEnv, rawPathOf } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import { isRepositoryName, type RepositoryName } from '../oci/reference.ts'
import { parseRegistryPath, type RegistryPath } from '../oci/registry-path.ts'
import { byProject, type Door, isNamespace, locate, nameUnknown, type Target } from '../projects/locate.ts'
import { isPublic, type Site } from '../projects/project.ts'
import type { Scope } from './challenge.ts'
import { doorOf } from './door.ts'
import { type Entry, type EntryOptions, enter } from './entry.ts'
import { answerProbe } from './probe.ts'
import { subjectOf } from './subject.ts'
import type { Readable } from './uploads.ts'

/** What the routes need of a repository once they know that the caller may do what he asks for. */
export interface RegistryHandlers {
  manifest(
    c: HttpContext,
    target: Target,
    path: Extract<RegistryPath, { kind: 'manifest' }>,
  ): Promise<Response>
  /** HEAD of one, as far as it has been pushed. */
  pushedManifest: RegistryHandlers['manifest']
  blob(c: HttpContext, target: Target, path: Extract<RegistryPath, { kind: 'blob' }>): Promise<Response>
  tags(c: HttpContext, target: Target, path: Extract<RegistryPath, { kind: 'tags' }>): Promise<Response>
  referrers(
    c: HttpContext,
    target: Target,
    path: Extract<RegistryPath, { kind: 'referrers' }>,
  ): Promise<Response>
  /** Those that `maySee` allows. */
  catalog(c: HttpContext, maySee: (name: RepositoryName) => boolean): Promise<Response>
  /** What changes a repository, and the caller may; uploads that are looked at, too. */
  write(c: HttpContext, target: Target, path: RegistryPath, readable: Readable): Promise<Response>
}

export interface RegistryRoutesOptions extends EntryOptions {
  site(): Site
  /** Name of the default mirror's project. */
  mirror: string
  via: Via
  handlers: RegistryHandlers
}

/** distribution-spec "Endpoints": parses the raw path once, finds the repository, asks the gate, and only then answers. */
export function createRegistryRoutes(options: RegistryRoutesOptions): Handler<HttpEnv> {
  const { via } = options
  return (c) => {
    const passed = c.env.incoming.headers.via
    if (passed === undefined) return answer(c, options)
    if (via.isLoop(passed)) throw new RegistryError('LOOP_DETECTED')
    return via.carry(passed, () => answer(c, options))
  }
}

async function answer(c: HttpContext, options: RegistryRoutesOptions): Promise<Response> {
  const { site, mirror, handlers } = options
  c.env.outgoing.setHeader('docker-distribution-api-version', 'registry/2.0')
  const path = parseRegistryPath(rawPathOf(c))
  if (!path) throw new RegistryError('NOT_FOUND')
  c.set('kind', path.kind)
  failpoint('request')
  const now = site()
  const action = actionOf(c.req.method, path)
  const scope = scopeOf(c, path, action)
  const entry = await enter(c, now, options, scope)
  if (path.kind === 'base') return base(c)
  const door = doorOf(c, now)
  if (path.kind === 'catalog') return catalog(c, now, door, entry, options)

  const namespace = namespaceOf(c)
  // What this site mirrors is no secret; a client asks the next one for the rest.
  if (namespace !== undefined && !isNamespace(now, door, namespace)) throw nameUnknown(path.name)
  const target = locate(now, mirror, door, namespace, path.name)
  const subject = subjectOf(path.name, target)
  const decision = decide(entry.caller, action, subject)
  // Where nobody can log in, who may read is told that nobody may write.
  const isKnown = decision !== 'refuse' || (entry.isOpen && decide(entry.caller, 'pull', subject) === 'allow')
  if (!target || !isKnown) throw entry.refusal(path.name)
  if (decision !== 'allow') throw refusedWrite(c, target)
  if (path.kind === 'upload' || action !== 'pull')
    return handlers.write(c, target, path, readableBy(entry.caller, now, mirror, door))
  if (target.namespace !== undefined) c.env.outgoing.setHeader('oci-namespace', target.namespace)
  const probed = await answerProbe(c, target, path, entry, handlers)
  if (probed) return probed
  switch (path.kind) {
    case 'manifest':
      return handlers.manifest(c, target, path)
    case 'blob':
      return handlers.blob(c, target, path)
    case 'tags':
      return handlers.tags(c, target, path)
    case 'referrers':
      return handlers.referrers(c, target, path)
    default:
      return path satisfies never
  }
}

/** Under the names of others there is no list of what is here. */
function catalog(
  c: HttpContext,
  site: Site,
  door: Door,
  { caller, shortfall }: Entry,
  { handlers }: RegistryRoutesOptions,
): Promise<Response> {
  const isRead = c.req.method === 'GET' || c.req.method === 'HEAD'
  if (door.face !== 'registry' || !isRead) throw new RegistryError('UNSUPPORTED')
  const maySeeAll = mayListPrivate(caller)
  if (caller.principal.kind === 'user' && !maySeeAll) throw shortfall()
  return handlers.catalog(c, (name) => {
    const target = byProject(site, name)
    return target !== undefined && (maySeeAll || isPublic(target.project, target.path))
  })
}

/** Where blobs may be mounted from. */
function readableBy(caller: Caller, site: Site, mirror: string, door: Door): Readable {
  const mayPull = (name: RepositoryName, target: Target | undefined) =>
    decide(caller, 'pull', subjectOf(name, target)) === 'allow'
  return {
    named(name) {
      const target = locate(site, mirror, door, undefined, name)
      return mayPull(name, target) ? target?.repository : undefined
    },
    mayPull: (repository) => mayPull(repository, byProject(site, repository)),
  }
}

/** What a request does to a repository. An upload is nobody's to look at who may not push. */
function actionOf(method: string, path: RegistryPath): Action {
  if (path.kind === 'upload') return 'push'
  if (method === 'GET' || method === 'HEAD') return 'pull'
  return method === 'DELETE' ? 'delete' : 'push'
}

/** What a blob is mounted from is read, as clients that only ask for what they are told do not know. */
function scopeOf(c: HttpContext, path: RegistryPath, action: Action): Scope {
  if (path.kind === 'base') return undefined
  if (path.kind === 'catalog') return 'catalog'
  const from = path.kind === 'upload' ? c.req.query('from') : undefined
  return { name: path.name, action, ...(from !== undefined && isRepositoryName(from) && { from }) }
}

/** Two of them name nothing. */
function namespaceOf(c: HttpContext): string | undefined {
  const all = c.req.queries('ns')
  return all && all.length > 1 ? '' : all?.[0]
}

function base(c: HttpContext): Response {
  if (c.req.method !== 'GET' && c.req.method !== 'HEAD') throw new RegistryError('UNSUPPORTED')
  const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': '2' }
  return c.req.method === 'HEAD' ? c.body(null, 200, headers) : c.body('{}', 200, headers)
}

/** A refused push is told as Harbor tells it: 403 ends it, where podman would repeat it after a 405. */
function refusedWrite(c: HttpContext, { project }: Target): RegistryError {
  const { method } = c.req
  if (method !== 'PUT' && method !== 'POST' && method !== 'PATCH') return new RegistryError('UNSUPPORTED')
  return new RegistryError('DENIED', {
    message: `cannot push to a ${project.proxy ? 'proxy' : 'read-only'} project: ${project.name}`,
  })
}
