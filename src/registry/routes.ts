import type { Handler } from 'hono'
import { decide } from '../auth/access.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Via } from '../flow/via.ts'
import { type HttpContext, type HttpEnv, rawPathOf } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import { parseRegistryPath, type RegistryPath } from '../oci/registry-path.ts'
import { locate, nameUnknown, type Target } from '../projects/locate.ts'
import { isPublic, onlyMirrors, type Site } from '../projects/project.ts'
import { doorOf, originOf } from './door.ts'

/** What the routes need of a repository once they know that the caller may read it. */
export interface RegistryHandlers {
  manifest(
    c: HttpContext,
    target: Target,
    path: Extract<RegistryPath, { kind: 'manifest' }>,
  ): Promise<Response>
  blob(c: HttpContext, target: Target, path: Extract<RegistryPath, { kind: 'blob' }>): Promise<Response>
  tags(c: HttpContext, target: Target, path: Extract<RegistryPath, { kind: 'tags' }>): Promise<Response>
  referrers(
    c: HttpContext,
    target: Target,
    path: Extract<RegistryPath, { kind: 'referrers' }>,
  ): Promise<Response>
}

export interface RegistryRoutesOptions {
  site(): Site
  /** Name of the default mirror's project. */
  mirror: string
  via: Via
  /** The name of this site: the `service` of its challenges. */
  service: string
  /** The origin that clients know this site by, where the operator has said it. */
  publicUrl: string | undefined
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
  const door = doorOf(c, now)
  if (path.kind === 'base') return base(c, now, options)
  if (path.kind === 'catalog')
    throw new RegistryError('UNSUPPORTED', { message: 'this site does not list its repositories' })

  const target = locate(now, mirror, door, namespaceOf(c), path.name)
  if (decide({ kind: 'anonymous' }, 'pull', { public: isPublic(target.project, target.path) }) !== 'allow') {
    throw nameUnknown(path.name)
  }
  if (path.kind === 'upload' || (c.req.method !== 'GET' && c.req.method !== 'HEAD'))
    throw refusedWrite(c, target)
  if (target.namespace !== undefined) c.env.outgoing.setHeader('oci-namespace', target.namespace)
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

/** Two of them name nothing. */
function namespaceOf(c: HttpContext): string | undefined {
  const all = c.req.queries('ns')
  return all && all.length > 1 ? '' : all?.[0]
}

/** A client that is answered 200 here never logs in, so a site with something to log in for challenges. */
function base(c: HttpContext, site: Site, { service, publicUrl }: RegistryRoutesOptions): Response {
  if (c.req.method !== 'GET' && c.req.method !== 'HEAD') throw new RegistryError('UNSUPPORTED')
  if (c.env.face !== 'mirror' && !onlyMirrors(site)) {
    const realm = `${originOf(c, site, publicUrl)}/service/token`
    throw new RegistryError('UNAUTHORIZED', {
      headers: { 'www-authenticate': `Bearer realm="${realm}",service="${service}"` },
    })
  }
  const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': '2' }
  return c.req.method === 'HEAD' ? c.body(null, 200, headers) : c.body('{}', 200, headers)
}

/** A refused push is told as Harbor tells it: 403 ends it, where podman would repeat it after a 405. */
function refusedWrite(c: HttpContext, { project }: Target): RegistryError {
  const { method } = c.req
  if (method !== 'PUT' && method !== 'POST' && method !== 'PATCH') return new RegistryError('UNSUPPORTED')
  return new RegistryError('DENIED', {
    message: project.proxy
      ? `cannot push to a proxy project: ${project.name}`
      : `pushing to ${project.name} is not possible yet`,
  })
}
