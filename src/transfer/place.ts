import type { LinkOrigin } from '../metadata/metadata.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { byProject, type Target } from '../projects/locate.ts'
import type { Project, Site } from '../projects/project.ts'
import { SourceFault } from './source.ts'

/** Where what is imported goes: a project, or a folder of names in it. */
export interface Into {
  project: Project
  /** `''` or what stands before every name. */
  prefix: string
}

export interface Place extends Target {
  /** What came from an upstream can come again, and goes when room is needed; anything else stays. */
  origin: Extract<LinkOrigin, 'pushed' | 'filled'>
}

/** @throws Error in one line */
export function parseInto(site: Site, text: string): Into {
  const slash = text.indexOf('/')
  const name = slash === -1 ? text : text.slice(0, slash)
  const prefix = slash === -1 ? '' : text.slice(slash + 1)
  const project = site.projects.get(name)
  if (!project) throw new Error(`--into ${text}: there is no project ${name}; ${projectsOf(site)}`)
  if (slash !== -1 && !isRepositoryName(prefix))
    throw new Error(`--into ${text}: ${prefix || 'nothing'} is no path`)
  return { project, prefix }
}

/** Where a repository of the source goes. @throws SourceFault what to do instead */
export function placeOf(
  site: Site,
  into: Into | undefined,
  name: string | undefined,
  hasHosts: boolean,
): Place {
  const said = into ? nameWithin(into, name && hasHosts ? withoutHost(name) : name) : name
  if (said === undefined) throw new SourceFault('has no repository name: say --into PROJECT/NAME')
  if (!isRepositoryName(said))
    throw new SourceFault(
      'is no repository name here (lower case, digits and . _ - between /): copy it under another one first',
    )
  const target = byProject(site, said)
  if (target) return { ...target, origin: target.project.push ? 'pushed' : 'filled' }
  throw new SourceFault(
    said.includes('/')
      ? `there is no project ${said.slice(0, said.indexOf('/'))}: say --into PROJECT; ${projectsOf(site)}`
      : `names no project: say --into PROJECT; ${projectsOf(site)}`,
  )
}

function nameWithin({ project, prefix }: Into, name: string | undefined): string | undefined {
  // What a mirror holds is called as upstream calls it; what is pushed is called as one likes.
  const path = (!project.push && project.proxy?.path) || ''
  if (name === undefined) return prefix === '' ? undefined : `${project.name}/${prefix}`
  if (path === '' || prefix !== '')
    return [project.name, prefix, name].filter((part) => part !== '').join('/')
  if (!name.startsWith(`${path}/`))
    throw new SourceFault(`is not below ${path}, which is all that ${project.name} mirrors`)
  return `${project.name}/${name.slice(path.length + 1)}`
}

/** `docker.io/library/nginx`, as an image is called in an archive. */
function withoutHost(name: string): string {
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(0, slash))
  return /[.:]/.test(first) || first === 'localhost' ? name.slice(slash + 1) : name
}

function projectsOf({ projects }: Site): string {
  return projects.size === 0 ? 'there is none' : `there are ${[...projects.keys()].sort().join(', ')}`
}
