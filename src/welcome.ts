import type { Config } from './config/config.ts'
import type { OpenDoor } from './http/listen.ts'
import { isPublicMirror, onlyMirrors, type Project, type Site } from './projects/project.ts'

/** What somebody who has just started a node needs to know, in a few lines. */
export function welcome(config: Config, doors: readonly OpenDoor[], site: Site): string {
  const shown = doors.map(({ face, url }) => (face === 'registry' ? url : `${url} (${face})`))
  const projects = [...site.projects.values()]
  const namesOf = (which: (project: Project) => boolean) => projects.filter(which).map(({ name }) => name)
  const pushed = namesOf(({ push }) => push)
  return [
    `outport listens on ${shown.join(', ')}`,
    `mirrors ${namesOf(isPublicMirror).join(', ') || 'nothing'}, keeps it in ${config.data}`,
    ...(pushed.length > 0 ? [`hosts ${pushed.join(', ')}`] : []),
    hint(config, doors, site),
    '',
  ].join('\n')
}

function hint(config: Config, doors: readonly OpenDoor[], site: Site): string {
  const door = doors.find(({ face }) => face === (onlyMirrors(site) ? 'registry' : 'mirror'))
  const project = site.projects.get(config.mirror.name)
  if (!door || !project || !isPublicMirror(project))
    return 'there is no default mirror for /etc/docker/daemon.json'
  return `put into /etc/docker/daemon.json: { "registry-mirrors": ["${withoutWildcard(door.url)}"] }`
}

/** All addresses are none that a client could ask. */
function withoutWildcard(url: string): string {
  return url.replace('://0.0.0.0:', '://localhost:').replace('://[::]:', '://localhost:')
}
