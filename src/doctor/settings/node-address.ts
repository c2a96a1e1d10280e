import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { Config } from '../../config/config.ts'
import type { Face } from '../../http/context.ts'
import { isPublicMirror, onlyMirrors, type Site } from '../../projects/project.ts'
import { namesOf } from '../verdicts/certificate.ts'

/** What clients have to be told of a node. */
export interface NodeAddress {
  /** The origin of the door whose names begin with a project; absent: there is none. */
  registry?: string
  /** The origin of the door that takes names of registries as they are. */
  mirror?: string
  /** docker.io is mirrored there for who names no registry. */
  hasDefaultMirror: boolean
  mirrors: readonly Mirror[]
  /** PEM; where no client would trust the doors by itself. */
  authority?: string
}

/** What a project of the site mirrors. */
export interface Mirror {
  /** The registry in names of images: `docker.io`. */
  registry: string
  /** Of which only this is mirrored: repository components; `''` for all. */
  path: string
  project: string
}

/** A door that is open, or is to be. */
export interface OpenDoor {
  face: Face
  url: string
}

export interface NodeFacts {
  config: Pick<Config, 'publicUrl' | 'mirror'>
  site: Site
  doors: readonly OpenDoor[]
  hostname: string
  /** The first one that the doors show. */
  certificate: X509Certificate | undefined
  authority: string | undefined
}

export function nodeAddressOf(facts: NodeFacts): NodeAddress {
  const { site, config, authority } = facts
  const registry = clientUrlOf(facts, bestDoor(facts.doors, 'registry'))
  const mirror = clientUrlOf(facts, bestDoor(facts.doors, 'mirror')) ?? registry
  const project = site.projects.get(config.mirror.name)
  const isOpen = onlyMirrors(site) || facts.doors.some(({ face }) => face === 'mirror')
  return {
    ...(registry !== undefined && { registry }),
    ...(mirror !== undefined && { mirror }),
    hasDefaultMirror: isOpen && project !== undefined && isPublicMirror(project),
    mirrors: mirrorsOf(site),
    ...(authority !== undefined && { authority }),
  }
}

/** What clients elsewhere call a door. */
export function clientUrlOf(
  { config: { publicUrl }, hostname, certificate }: Pick<NodeFacts, 'config' | 'hostname' | 'certificate'>,
  door: OpenDoor | undefined,
): string | undefined {
  if (!door) return undefined
  const { protocol, hostname: listening, port } = new URL(door.url)
  const known = publicUrl === undefined ? undefined : new URL(publicUrl)
  if (known && door.face === 'registry' && known.protocol === protocol) return known.origin
  const named = protocol === 'https:' ? nameOn(certificate, hostname) : undefined
  const host = known?.hostname ?? named ?? (isEverywhere(listening) ? hostname : listening)
  return new URL(`${protocol}//${host}:${port}`).origin
}

function bestDoor(doors: readonly OpenDoor[], face: Face): OpenDoor | undefined {
  const fitting = doors.filter((door) => door.face === face)
  return fitting.find(({ url }) => url.startsWith('https:')) ?? fitting[0]
}

/** The listener says `localhost` of itself where it is on every address. */
export function isEverywhere(host: string): boolean {
  return host === 'localhost' || host === '0.0.0.0' || host === '[::]'
}

function nameOn(certificate: X509Certificate | undefined, hostname: string): string | undefined {
  if (!certificate) return undefined
  if (certificate.checkHost(hostname) !== undefined) return hostname
  const names = namesOf(certificate).filter((name) => !name.startsWith('*'))
  const name = names.find((each) => !isIP(each) && each !== 'localhost') ?? names[0]
  return name?.includes(':') ? `[${name}]` : name
}

function mirrorsOf(site: Site): Mirror[] {
  return [...site.projects.values()].filter(isPublicMirror).flatMap(({ name, proxy }) => {
    const registry = proxy && site.registries.get(proxy.registry)
    return registry ? [{ registry: registry.ns, path: proxy.path, project: name }] : []
  })
}
