import type { Config } from './config.ts'
import { collide, formatListener, parseListeners } from './listeners.ts'
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
  hasCertificate: boolean,
): string[] {
  const named = [
    ...listen.map((listener) => ({ name: 'OUTPORT_LISTEN', listener })),
    ...(mirrorListen === 'off' ? [] : (mirrorListen ?? [])).map((listener) => ({
      name: 'OUTPORT_MIRROR_LISTEN',
      listener,
    })),
    ...(metricsListen ?? []).map((listener) => ({ name: 'OUTPORT_METRICS_LISTEN', listener })),
  ]
  const secure = named.find(({ listener }) => listener.scheme === 'https')
  const taken = named.flatMap(({ name, listener }, at) => {
    const earlier = named.slice(0, at).find((other) => collide(listener, other.listener))
    return earlier ? [`${name}: ${formatListener(listener)} is taken by ${earlier.name}`] : []
  })
  return [
    ...taken,
    ...(secure && !hasCertificate
      ? [`${secure.name}: https needs OUTPORT_TLS_CERT and OUTPORT_TLS_KEY`]
      : []),
    ...(hasCertificate && !secure
      ? ['OUTPORT_TLS_CERT: no door speaks https, such as OUTPORT_LISTEN=https://:5000']
      : []),
  ]
}

/** `undefined` when none are given. */
export function readCertificates(
  read: Read,
  path: (text: string) => string,
  problems: string[],
): Config['tls'] | undefined {
  const files = (text: string) => text.split(',').map((each) => parseFile(each.trim(), path))
  const certs = read('OUTPORT_TLS_CERT', files)
  const keys = read('OUTPORT_TLS_KEY', files)
  if (certs?.length !== keys?.length) {
    const counts = `${certs?.length ?? 0} and ${keys?.length ?? 0}`
    problems.push(
      `OUTPORT_TLS_CERT and OUTPORT_TLS_KEY: expected as many certificates as keys, found ${counts}`,
    )
  }
  if (!certs && !keys) return undefined
  return Object.freeze((certs ?? []).map((cert, at) => Object.freeze({ cert, key: keys?.[at] ?? '' })))
}

function parseFile(text: string, path: (text: string) => string): string {
  if (text === '' || text.includes('-----BEGIN'))
    throw new SyntaxError('paths of files with commas between them')
  return path(text)
}
