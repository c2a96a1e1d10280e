import { parseChallenges } from '../../upstream/challenge.ts'
import type { Mistake } from '../findings.ts'
import type { Answer, Endpoint } from '../wire/exchange.ts'

/** How a door wants to be shown who asks. */
export type Demand = { scheme: 'basic' } | { scheme: 'bearer'; realm: URL; service?: string }

/** What a 401 asks for; a mistake where no client could make sense of it. */
export function demandOf(what: string, { headers }: Answer): Demand | Mistake {
  const challenges = parseChallenges(headers['www-authenticate'])
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters
  const realm = bearer?.get('realm')
  const service = bearer?.get('service')
  if (realm !== undefined && URL.canParse(realm))
    return { scheme: 'bearer', realm: new URL(realm), ...(service !== undefined && { service }) }
  if (challenges.some(({ scheme }) => scheme === 'basic')) return { scheme: 'basic' }
  const advice = 'a proxy on the way answers for the node: let /v2/ pass it'
  return { code: 'challenge', what: `${what}: 401, and nothing says how to log in`, advice }
}

/** Nothing of what a mirror is asked for may be challenged. */
export function challengedMirror(what: string, { headers }: Answer): Mistake {
  const [first] = parseChallenges(headers['www-authenticate'])
  const realm = first?.parameters.get('realm')
  return {
    code: 'challenge',
    what: `${what}: 401${realm === undefined ? '' : `, log in at ${realm.slice(0, 200)}`}: a mirror must ask nobody for a login`,
    advice:
      'use the mirror door of the node, which never asks; where it has none, open one. If a proxy before it asks for a login, take /v2/ out of that',
  }
}

/** Clients take a realm only from the door itself, or not at all. */
export function realmMistake(
  { url: door, publicUrl }: Pick<Endpoint, 'url' | 'publicUrl'>,
  { host, href, origin }: URL,
): Mistake | undefined {
  if (host === door.host || origin === publicUrl) return undefined
  return {
    code: 'realm-elsewhere',
    what: `logins are sent to another host: the realm is ${href.slice(0, 200)}, the door ${door.host}`,
    advice:
      'let the node name itself as clients reach it: its public address (see Settings), or the Host header that a proxy before it passes on. crane takes no such realm, and others hand their passwords to it',
  }
}

export function isMistake(value: object): value is Mistake {
  return 'code' in value
}
