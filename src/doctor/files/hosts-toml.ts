import type { Mistake } from '../findings.ts'
import { at, fileInvalid, isTable, parseToml } from './toml.ts'

/** The hosts that a hosts.toml names, in the order of the file. */
export interface HostEntry {
  url: URL
  /** As it is written. */
  ca: string[]
}

export function hostsIn(text: string): HostEntry[] | Mistake {
  const parsed = parseToml(text, 'containerd')
  if ('mistake' in parsed) return parsed.mistake
  const hosts = at(parsed.table, 'host')
  if (!isTable(hosts)) return []
  return Object.entries(hosts).flatMap(([name, entry]) => {
    const url = urlOf(name)
    return url ? [{ url, ca: filesOf(at(entry, 'ca')) }] : []
  })
}

/** @param doors those that this machine's clients are to use, with their schemes */
export function hostsTomlMistakes(text: string, doors: readonly URL[]): Mistake[] {
  const hosts = hostsIn(text)
  if (!Array.isArray(hosts)) return [hosts]
  return hosts.flatMap(({ url }) => {
    const door = doors.find(({ host }) => host === url.host)
    if (!door || door.protocol === url.protocol) return []
    return [
      fileInvalid(
        `it asks ${url.host} with ${url.protocol.replace(':', '')}, which speaks ${door.protocol.replace(':', '')} ` +
          '(a host that is written without a scheme is asked with https)',
      ),
    ]
  })
}

function urlOf(name: string): URL | undefined {
  const text = /^https?:\/\//.test(name) ? name : `https://${name}`
  return URL.canParse(text) ? new URL(text) : undefined
}

function filesOf(ca: unknown): string[] {
  const all = Array.isArray(ca) ? ca : [ca]
  return all.filter((each) => typeof each === 'string')
}
