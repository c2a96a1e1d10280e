import { isDigest } from '../oci/digest.ts'
import { isRepositoryName, isTag } from '../oci/reference.ts'
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

const expected = 'an image such as nginx, library/nginx:1.27 or ghcr.io/org/app@sha256:…'

/** As docker reads it: no registry is docker.io, no tag is latest. @throws Error in one line */
export function parseImage(text: string): TriedImage {
  const at = text.indexOf('@')
  const named = at === -1 ? text : text.slice(0, at)
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  const whole = colon === -1 ? named : named.slice(0, colon)
  const tag = colon === -1 ? 'latest' : named.slice(colon + 1)
  const reference = at === -1 ? tag : text.slice(at + 1)

  const slash = whole.indexOf('/')
  const first = whole.slice(0, Math.max(slash, 0))
  const hasHost = /[.:]/.test(first) || first === 'localhost'
  const registry = hasHost ? first : 'docker.io'
  const said = hasHost ? whole.slice(slash + 1) : whole
  const name = registry === 'docker.io' && !said.includes('/') ? `library/${said}` : said
  if (!isRepositoryName(name) || !(isTag(reference) || isDigest(reference)))
    throw new Error(`expected ${expected}, found ${JSON.stringify(text.slice(0, 100))}`)
  return { registry, name, path: `${registry}/${name}`, reference }
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
