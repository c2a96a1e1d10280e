import type { Config } from './config.ts'
import { collide, formatListener, type Listener, parseListeners } from './listeners.ts'
import { given, type Read } from './reader.ts'

export type Doors = Pick<Config, 'listen' | 'mirrorListen' | 'metricsListen'>

export function readDoors(read: Read): Doors {
  const parse = (text: string) => Object.freeze(parseListeners(text))
  return {
    listen: read('OUTPORT_LISTEN', parse) ?? parse(':5000'),
    mirrorListen: read('OUTPORT_MIRROR_LISTEN', (text) => (text === 'off' ? 'off' : parse(text))),
    ...given('metricsListen', read('OUTPORT_METRICS_LISTEN', parse)),
  }
}

/** What is wrong between doors that are right by themselves. */
export function checkDoors(
  { listen, mirrorListen, metricsListen }: Doors,
  { tlsIsOwn, tlsRedirect }: Pick<Config, 'tlsIsOwn' | 'tlsRedirect'>,
): string[] {
  const mirrors = mirrorListen === 'off' ? [] : (mirrorListen ?? [])
  const named = [
    ...listen.map((listener) => ({ name: 'OUTPORT_LISTEN', listener })),
    ...mirrors.map((listener) => ({ name: 'OUTPORT_MIRROR_LISTEN', listener })),
    ...(metricsListen ?? []).map((listener) => ({ name: 'OUTPORT_METRICS_LISTEN', listener })),
  ]
  const isSecure = named.some(({ listener }) => listener.scheme === 'https')
  const taken = named.flatMap(({ name, listener }, at) => {
    const earlier = named.slice(0, at).find((other) => collide(listener, other.listener))
    return earlier ? [`${name}: ${formatListener(listener)} is taken by ${earlier.name}`] : []
  })
  return [
    ...taken,
    ...(!tlsIsOwn && !isSecure
      ? ['OUTPORT_TLS_CERT: no door speaks https, such as OUTPORT_LISTEN=https://:5000']
      : []),
    ...(tlsRedirect && ![listen, mirrors].some(hasBoth)
      ? ['OUTPORT_TLS_REDIRECT: needs doors of both kinds, such as OUTPORT_LISTEN=http://:80,https://:443']
      : []),
  ]
}

function hasBoth(listeners: readonly Listener[]): boolean {
  return new Set(listeners.map(({ scheme }) => scheme)).size === 2
}
