import { parseImageName } from '../oci/image-name.ts'
import type { Reference } from '../oci/reference.ts'
import type { Project, Site } from '../projects/project.ts'

/** The image that is asked for, in the words of each kind of client. */
export interface TriedImage {
  /** The registry's name in image names, and the value of `?ns=`: `docker.io`. */
  registry: string
  /** Within that registry: `library/nginx`. */
  name: string
  /** Behind the name of the door: `docker.io/library/nginx`. */
  path: string
  /** A tag or a digest. */
  reference: string
}

/** As docker reads it: no registry is docker.io, no tag is latest. @throws SyntaxError in one line */
export function parseImage(text: string): TriedImage {
  const { host: registry = 'docker.io', path, reference } = parseImageName(text)
  const name = registry === 'docker.io' && !path.includes('/') ? `library/${path}` : path
  return { registry, name, path: `${registry}/${name}`, reference: saidReference(reference) }
}

function saidReference(reference: Reference | undefined): string {
  if (!reference) return 'latest'
  return reference.kind === 'tag' ? reference.tag : reference.digest
}

/** The same image where its registry is mirrored by a project of another name. */
export function placedIn(site: Site, image: TriedImage): TriedImage {
  const projects = [...site.projects.values()].filter(
    (project) => registryOf(site, project) === image.registry,
  )
  const within = projects
    .map(({ name, proxy }) => ({ name, prefix: proxy?.path ? `${proxy.path}/` : '' }))
    .filter(({ prefix }) => image.name.startsWith(prefix))
    .sort((left, right) => right.prefix.length - left.prefix.length)[0]
  return within ? { ...image, path: `${within.name}/${image.name.slice(within.prefix.length)}` } : image
}

/** @param repository as this site calls it, its project first; `undefined` when that is no mirror of anything */
export function imageOf(site: Site, repository: string, reference: string): TriedImage | undefined {
  const slash = repository.indexOf('/')
  const project = site.projects.get(repository.slice(0, slash))
  const registry = project && registryOf(site, project)
  if (!project?.proxy || registry === undefined) return undefined
  const { path } = project.proxy
  const name = `${path === '' ? '' : `${path}/`}${repository.slice(slash + 1)}`
  return { registry, name, path: repository, reference }
}

function registryOf(site: Site, { proxy }: Project): string | undefined {
  return proxy && site.registries.get(proxy.registry)?.ns
}
