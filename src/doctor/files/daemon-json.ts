import { messageOf } from '../../flow/message-of.ts'
import type { Mistake } from '../findings.ts'
import { fileInvalid, isTable } from './toml.ts'

export const daemonJson = '/etc/docker/daemon.json'

/** What dockerd makes of its settings, as far as mirrors go. */
export function daemonJsonMistakes(text: string): Mistake[] {
  let settings: unknown
  try {
    settings = JSON.parse(text)
  } catch (error) {
    const reason = messageOf(error)
    return [fileInvalid(`dockerd does not start with it: it is no JSON: ${reason}`)]
  }
  if (!isTable(settings)) return [fileInvalid('dockerd does not start with it: it is no JSON object')]
  const { 'registry-mirrors': mirrors = [], 'registry-mirror': misspelt } = settings
  const strange =
    misspelt === undefined
      ? []
      : [fileInvalid('registry-mirror is never read: it is called registry-mirrors')]
  if (!Array.isArray(mirrors))
    return [...strange, fileInvalid('registry-mirrors must be a list of addresses')]
  return [...strange, ...mirrors.flatMap(mirrorMistakes)]
}

function mirrorMistakes(mirror: unknown): Mistake[] {
  const said = JSON.stringify(mirror)
  if (typeof mirror !== 'string' || !/^https?:\/\//.test(mirror) || !URL.canParse(mirror))
    return [
      fileInvalid(`dockerd does not start with the mirror ${said}: it must begin with http:// or https://`),
    ]
  const { pathname, search, hash, username, password } = new URL(mirror)
  if (username || password)
    return [fileInvalid('dockerd does not start with a mirror that holds a user name or a password')]
  if (search || hash) return [fileInvalid(`dockerd does not start with the mirror ${said}: it holds ? or #`)]
  if (pathname === '/') return []
  return [
    {
      code: 'mirror-with-path',
      what: `the mirror ${said} has a path: Docker Engine before 25 does not start with it`,
      advice: `write ${JSON.stringify(new URL(mirror).origin)}: a mirror door needs no path`,
    },
  ]
}
