import { hostname } from 'node:os'
import type { HttpContext } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import type { Door } from '../projects/locate.ts'
import type { Site } from '../projects/project.ts'

/** Under a registry's own name the names are that registry's, whatever the listener. */
export function doorOf(c: HttpContext, site: Site): Door {
  if (c.env.face === 'mirror') return { face: 'mirror' }
  const host = hostNameOf(c)
  const registry = [...site.registries.values()].find((each) => each.serveAs.includes(host))
  return registry ? { face: 'as', registry: registry.name } : { face: 'registry' }
}

/**
 * The origin that a challenge names as this site's own: the one that was asked, so that clients which refuse foreign
 * realms take it, unless the operator has named one.
 * @throws RegistryError `MISDIRECTED` for a name that is not this site's, where a login could be drawn elsewhere
 */
export function originOf(c: HttpContext, site: Site, publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl
  const { incoming } = c.env
  const host = incoming.headers.host ?? ''
  if (!isOwn(c, site)) throw new RegistryError('MISDIRECTED', { detail: { host: host.slice(0, 255) } })
  return `${'encrypted' in incoming.socket ? 'https' : 'http'}://${host}`
}

function isOwn(c: HttpContext, site: Site): boolean {
  const host = hostNameOf(c)
  const { localAddress = '' } = c.env.incoming.socket
  const own = [
    'localhost',
    hostname().toLowerCase(),
    localAddress.replace(/^::ffff:/, ''),
    `[${localAddress}]`,
  ]
  return own.includes(host) || [...site.registries.values()].some((each) => each.serveAs.includes(host))
}

function hostNameOf(c: HttpContext): string {
  return (c.env.incoming.headers.host ?? '').replace(/:\d+$/, '').toLowerCase()
}
