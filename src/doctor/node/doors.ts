import type { Config } from '../../config/config.ts'
import { formatListener } from '../../config/listeners.ts'
import type { OpenDoor } from '../settings/node-address.ts'

/** The doors that the settings ask for, as far as they say where. */
export function doorsOf({ listen, mirrorListen }: Pick<Config, 'listen' | 'mirrorListen'>): OpenDoor[] {
  const mirrors = mirrorListen === 'off' ? [] : (mirrorListen ?? [])
  const door = (face: OpenDoor['face']) => (listener: Config['listen'][number]) => ({
    face,
    url: formatListener({ ...listener, host: listener.host ?? 'localhost' }),
  })
  const open = [...listen.map(door('registry')), ...mirrors.map(door('mirror'))]
  return open.filter(({ url }) => !url.endsWith(':0'))
}
