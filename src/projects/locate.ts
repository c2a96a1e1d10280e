import { RegistryError } from '../oci/error.ts'
import {
  isNameComponent,
  isRepositoryName,
  parseRepositoryName,
  type RepositoryName,
} from '../oci/reference.ts'
import type { RegistrySettings } from '../upstream/registry-client.ts'
import { isPublicMirror, onlyMirrors, type Project, type Site } from './project.ts'

/** How a request came in, which decides what its names mean. `as`: by a host name under which the site serves a registry. */
export type Door = { face: 'registry' } | { face: 'mirror' } | { face: 'as'; registry: string }

/** The one repository that a request is about. */
export interface Target {
  project: Project
  /** The name within the project. */
  path: string
  /** The name within the site: project and path. Links and tags are kept under it. */
  repository: RepositoryName
  /** Absent for hosted projects. */
  upstream?: { registry: RegistrySettings; repository: RepositoryName }
  /** Called by the name that upstream has for it, at a mirror: what was pushed to it in other times is not meant. */
  asUpstream?: true
  /** Said back as `OCI-Namespace` when the client chose by `ns`. */
  namespace?: string
}

/**
 * What `name` means to a client at `door`; `undefined` when it means nothing there. `ns` only selects among the registries
 * of the site and is never connected to (distribution-spec, "Registry Proxying").
 * @param mirror name of the project that is the default mirror, if there is one
 */
export function locate(
  site: Site,
  mirror: string | undefined,
  door: Door,
  ns: string | undefined,
  name: RepositoryName,
): Target | undefined {
  return door.face === 'as' ? servedAs(site, door.registry, ns, name) : byDoor(site, mirror, door, ns, name)
}

/** Whether `ns` names a registry of the site, which at `door` may be asked for by it. */
export function isNamespace(site: Site, door: Door, ns: string): boolean {
  const registries = [...site.registries.values()]
  return registries.some((each) =>
    door.face === 'as'
      ? each.name === door.registry && (each.ns === ns || each.serveAs.includes(ns))
      : each.ns === ns,
  )
}

/** Of what is not there, and of what the caller may not see: the two are not told apart. */
export function nameUnknown(name: RepositoryName): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { detail: { name } })
}

function byDoor(
  site: Site,
  mirror: string | undefined,
  door: Door,
  ns: string | undefined,
  name: RepositoryName,
): Target | undefined {
  if (ns !== undefined) {
    const registry = [...site.registries.values()].find((each) => each.ns === ns)
    const projects = door.face === 'mirror' ? mirrorsOf(site).filter(isPublicMirror) : mirrorsOf(site)
    const target = registry && byUpstreamName(projects, registry, name)
    return target && { ...target, namespace: ns }
  }
  if (door.face === 'registry') {
    const named = byProject(site, name)
    if (named) return named
    if (!onlyMirrors(site)) return undefined
  }
  const project = mirror === undefined ? undefined : site.projects.get(mirror)
  const registry = project && isPublicMirror(project) ? registryOf(site, project) : undefined
  return project && registry && byUpstreamName([project], registry, name)
}

function servedAs(
  site: Site,
  registryName: string,
  ns: string | undefined,
  name: RepositoryName,
): Target | undefined {
  const registry = site.registries.get(registryName)
  if (!registry) return undefined
  if (ns !== undefined && ns !== registry.ns && !registry.serveAs.includes(ns)) return undefined
  if (ns === undefined) return byUpstreamName([...site.projects.values()], registry, name)
  const target = byUpstreamName(mirrorsOf(site), registry, name)
  return target && { ...target, namespace: ns }
}

/** For who asks by `ns`, and takes the answer for that registry's own: what is pushed here is none of it. */
function mirrorsOf(site: Site): Project[] {
  return [...site.projects.values()].filter(({ push }) => !push)
}

/**
 * What a name of this site is about, whose first component is the project, as in `docker.io/library/nginx`; `undefined`
 * when there is none. A name of one component is in `library`, where that is pushed to.
 */
export function byProject(site: Site, name: RepositoryName): Target | undefined {
  const slash = name.indexOf('/')
  if (slash === -1) {
    const library = site.projects.get('library')
    return library?.push ? byProject(site, parseRepositoryName(`library/${name}`)) : undefined
  }
  const project = site.projects.get(name.slice(0, slash))
  if (!project) return undefined
  const said = name.slice(slash + 1)
  const registry = registryOf(site, project)
  if (!project.proxy || !registry) return targetOf(project, said)
  const path = project.proxy.path === '' ? withLibrary(registry, said) : said
  return targetOf(project, path, registry)
}

/** Among several projects of one upstream the longest path wins, and a mirror over what is pushed to. */
function byUpstreamName(
  projects: readonly Project[],
  registry: RegistrySettings,
  said: RepositoryName,
): Target | undefined {
  const name = withLibrary(registry, said)
  const [nearest] = projects
    .filter((project) => project.proxy?.registry === registry.name)
    .filter(({ proxy }) => proxy?.path === '' || name.startsWith(`${proxy?.path}/`))
    .sort(
      (a, b) => (b.proxy?.path.length ?? 0) - (a.proxy?.path.length ?? 0) || Number(a.push) - Number(b.push),
    )
  if (!nearest?.proxy) return undefined
  const path = nearest.proxy.path === '' ? name : name.slice(nearest.proxy.path.length + 1)
  const target = targetOf(nearest, path, registry)
  return target && !nearest.push ? { ...target, asUpstream: true } : target
}

function targetOf(project: Project, path: string, registry?: RegistrySettings): Target | undefined {
  const repository = `${project.name}/${path}`
  if (!isRepositoryName(repository)) return undefined
  if (!registry || !project.proxy) return { project, path, repository }
  const upstreamName = project.proxy.path === '' ? path : `${project.proxy.path}/${path}`
  return { project, path, repository, upstream: { registry, repository: parseRepositoryName(upstreamName) } }
}

/** Docker Hub keeps its official images under `library/`; clients other than docker leave that out. */
function withLibrary(registry: RegistrySettings, name: string): string {
  return registry.ns === 'docker.io' && isNameComponent(name) ? `library/${name}` : name
}

function registryOf(site: Site, project: Project): RegistrySettings | undefined {
  return project.proxy && site.registries.get(project.proxy.registry)
}
