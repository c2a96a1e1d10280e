import type { Pattern } from '../oci/pattern.ts'
import type { Platform } from '../oci/platform.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { RegistrySettings } from '../upstream/registry-client.ts'

/** What this site is told to do: the compiled documents of `policies/`. Frozen; a reload makes another. */
export interface Site {
  projects: ReadonlyMap<string, Project>
  registries: ReadonlyMap<string, RegistrySettings>
  cache: CacheSettings
  gc: GcSettings
}

/** Hosted without `proxy`, a mirror with it, virtual with `proxy` and `push`. */
export interface Project {
  name: string
  proxy?: {
    registry: string /** `''` for the whole registry, else repository components without slashes at the ends. */
    path: string
  }
  push: boolean
  /** The tags that may be pushed, and so be other than upstream's. */
  shadow: readonly Pattern[]
  /** `true`, `false`, or the patterns (over the name within the project) of its public repositories. */
  public: boolean | readonly Pattern[]
  /** First match wins. */
  freshness: readonly { tag: Pattern; forMs: number }[]
  stale: { when: 'never' | 'upstream-error' | 'not-found'; forMs: number }
  /** Without platforms: of the images that are asked for. */
  prefetch: false | { platforms: readonly Platform[] }
  sparse: boolean
}

export interface CacheSettings {
  /** Bytes; `undefined`: 80 % of the disk. */
  budget?: number
  /** Fractions of the budget at which eviction begins and ends. */
  high: number
  low: number
  /** Fraction of the disk that cached bytes may not take. */
  reserve: number
  maxAgeMs?: number
  pins: readonly Pattern[]
  /** File and line that say so. */
  pinsAt?: string
  fills: { all: number; perUpstream: number; perClient: number }
  /** How often the bytes of everything are read again, and how many a second. */
  scrub: false | { everyMs: number; rate: number }
  /** Bytes of small blobs and manifests kept in memory. */
  memory: number
}

/** When what was pushed and nothing needs any more goes. */
export interface GcSettings {
  everyMs: number | false
  /** What was pushed or asked for since stays. */
  graceMs: number
  /** Absent: manifests without a tag stay. */
  untaggedMs?: number
}

/**
 * Nothing in it but mirrors that anybody may read: what opens the default mirror on a registry door. Otherwise a hosted
 * project would shadow a namespace of Docker Hub, and a challenge would draw its passwords from an old dockerd.
 */
export function onlyMirrors(site: Site): boolean {
  return [...site.projects.values()].every(isPublicMirror)
}

/** A list of patterns counts as public: what it leaves out is absent for everybody, not behind a login. */
export function isPublicMirror(project: Project): boolean {
  return project.proxy !== undefined && !project.push && project.public !== false
}

/** What is pushed to it goes before what its upstream has. */
export function isVirtual(project: Project): boolean {
  return project.push && project.proxy !== undefined
}

/** Whether `tag` may be pushed. By the name alone, so that it holds whether upstream can be asked or not. */
export function mayShadow({ shadow }: Project, tag: Tag): boolean {
  return shadow.some((matches) => matches(tag))
}

/** @param path the repository's name within the project */
export function isPublic(project: Project, path: string): boolean {
  return typeof project.public === 'boolean'
    ? project.public
    : project.public.some((matches) => matches(path))
}

/** Whose content a repository of the site is; `undefined` when its project is gone. @param repository project included */
export function ownerOf(
  site: Site,
  repository: RepositoryName,
): { public: boolean; registry?: string } | undefined {
  const slash = repository.indexOf('/')
  const project = site.projects.get(repository.slice(0, slash))
  return (
    project && { public: isPublic(project, repository.slice(slash + 1)), registry: project.proxy?.registry }
  )
}
