import type { ImageName } from '../oci/image-name.ts'
import { isRepositoryName } from '../oci/reference.ts'
import { byProject, locate, type Target } from './locate.ts'
import type { Site } from './project.ts'

/**
 * What people on this site mean by a name, where no door says it: that of a project first, then that of a registry which
 * is mirrored here, else one of the default mirror.
 * @param mirror name of the project that is the default mirror
 * @throws SyntaxError in one line
 */
export function targetOfImage(site: Site, mirror: string, name: ImageName): Target {
  const { host, path } = name
  const said = nameOfImage(name)
  const named = isRepositoryName(said) && byProject(site, said)
  if (named) return named
  const registry = [...site.registries.values()].find(
    ({ ns, serveAs, urls }) =>
      host !== undefined &&
      (ns === host || serveAs.includes(host) || urls.some((url) => hostOf(url) === host)),
  )
  if (host !== undefined && !registry) throw new SyntaxError(`no project mirrors ${host}`)
  const target = registry
    ? locate(site, undefined, { face: 'registry' }, registry.ns, path)
    : locate(site, mirror, { face: 'mirror' }, undefined, path)
  if (target) return target
  throw new SyntaxError(registry ? `no project mirrors ${host}/${path}` : `no project has an image ${path}`)
}

/** `ghcr.io/org/app` */
export function nameOfImage({ host, path }: Pick<ImageName, 'host' | 'path'>): string {
  return host === undefined ? path : `${host}/${path}`
}

function hostOf(url: string): string {
  return new URL(url).host
}
