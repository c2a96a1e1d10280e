import { isRepositoryName } from '../oci/reference.ts'
import { type Door, locate, type Target } from '../projects/locate.ts'
import { isPublic, type Site } from '../projects/project.ts'

/** A door that clients can come in by. `url`: absent where no node runs. */
export interface KnownDoor {
  face: 'registry' | 'mirror'
  url?: string
}

/** What clients say at a door. */
export interface DoorName {
  face: 'registry' | 'mirror' | 'as'
  url?: string
  name: string
  /** What goes with it, as `?ns=` says it. */
  ns?: string
}

/** Every name under which `target` is served, nothing where nobody may pull it. */
export function namesOf(site: Site, mirror: string, doors: readonly KnownDoor[], target: Target): DoorName[] {
  if (!isPublic(target.project, target.path)) return []
  const { upstream } = target
  const hosts = upstream?.registry.serveAs ?? []
  const asOthers = hosts.map((host) => ({
    door: { face: 'as', registry: upstream?.registry.name ?? '' } as const,
    told: { face: 'as' as const, url: host },
  }))
  const own = doors.map(({ face, url }) => ({
    door: { face },
    told: { face, ...(url !== undefined && { url }) },
  }))
  const said: { name: string; ns?: string }[] = [
    { name: target.repository },
    ...(upstream
      ? [{ name: upstream.repository }, { name: upstream.repository, ns: upstream.registry.ns }]
      : []),
  ]
  const all = [...own, ...asOthers].flatMap(({ door, told }) =>
    said
      // Under its own name a registry needs no other word.
      .filter(({ ns }) => door.face !== 'as' || ns === undefined)
      .filter((each) => leadsTo(site, mirror, door, each, target))
      .map((each): DoorName => ({ ...told, ...each })),
  )
  return all
}

function leadsTo(
  site: Site,
  mirror: string,
  door: Door,
  { name, ns }: { name: string; ns?: string },
  { repository }: Target,
): boolean {
  if (!isRepositoryName(name)) return false
  return locate(site, mirror, door, ns, name)?.repository === repository
}
