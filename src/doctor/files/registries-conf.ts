import type { Mistake } from '../findings.ts'
import { at, fileInvalid, listOf, parseToml } from './toml.ts'

export const registriesConf = '/etc/containers/registries.conf'
export const registriesFolder = '/etc/containers/registries.conf.d'

/** containers-registries.conf(5). @param doors those that this machine's clients are to use */
export function registriesConfMistakes(text: string, doors: readonly URL[]): Mistake[] {
  const parsed = parseToml(text, 'podman')
  if ('mistake' in parsed) return [parsed.mistake]
  const { table } = parsed
  const isOld = ['search', 'insecure', 'block'].some((name) => at(table, 'registries', name) !== undefined)
  const isNew = 'registry' in table || 'unqualified-search-registries' in table
  if (isOld && isNew)
    return [
      {
        code: 'registries-mixed',
        what: 'podman refuses every pull: [registries.search] and the like (version 1) stand beside [[registry]] (version 2)',
        advice: 'keep version 2: write unqualified-search-registries instead of [registries.search]',
      },
    ]
  return listOf(table.registry).flatMap((registry) => registryMistakes(registry, doors))
}

function registryMistakes(registry: unknown, doors: readonly URL[]): Mistake[] {
  const mirrors = listOf(at(registry, 'mirror'))
  const places = [registry, ...mirrors].map((each) => at(each, 'location'))
  return [
    ...places.flatMap((location) => (typeof location === 'string' ? locationMistakes(location) : [])),
    ...mirrors.flatMap((mirror) => insecureMistakes(mirror, doors)),
  ]
}

function locationMistakes(location: string): Mistake[] {
  if (/^https?:\/\//.test(location))
    return [fileInvalid(`podman refuses every pull: the location ${location} must not hold a scheme`)]
  if (!location.endsWith('/')) return []
  return [
    {
      code: 'trailing-slash',
      what: `podman makes no image name of the location ${location}: it ends with a slash`,
      advice: `write ${location.replace(/\/+$/, '')}`,
    },
  ]
}

/** Without it podman asks with https only, and silently goes on to the registry itself. */
function insecureMistakes(mirror: unknown, doors: readonly URL[]): Mistake[] {
  const location = at(mirror, 'location')
  if (typeof location !== 'string' || at(mirror, 'insecure') === true) return []
  const door = doors.find(({ host }) => location === host || location.startsWith(`${host}/`))
  if (door?.protocol !== 'http:') return []
  return [
    {
      code: 'insecure-missing',
      what: `podman asks the mirror ${location} with https only, and that speaks plain http`,
      advice: 'add insecure = true below its location, or give that door a certificate',
    },
  ]
}
