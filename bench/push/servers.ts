import type { MirrorOverrides } from '../../test/support/mirror-policy.ts'
import type { BenchSettings } from '../support/question.ts'
import { distribution, distributionName } from '../support/servers/distribution.ts'
import { outport } from '../support/servers/outport.ts'
import type { Server } from '../support/servers/server.ts'
import type { RunningServer } from '../support/start-server.ts'
import { repository } from './case.ts'

const password = 'a word for the bench'
const policy: MirrorOverrides = { more: [{ kind: 'project', name: 'team' }] }

/** Each takes pushes: distribution syncs every file, as Outport does with its defaults, and lets everybody push. */
export async function pushedServers({
  profile,
  alone,
}: Pick<BenchSettings, 'profile' | 'alone'>): Promise<Server[]> {
  const env = { OUTPORT_MIRROR_LISTEN: 'off', OUTPORT_ADMIN_PASSWORD: password }
  const shared = { policy, ...(profile !== undefined && { profile }) }
  return [
    await outport({ ...shared, env }),
    await outport({ ...shared, name: 'outport, fast', env: { ...env, OUTPORT_DURABILITY: 'fast' } }),
    ...(alone ? [] : [await distribution(true)]),
  ]
}

/** What a pusher shows there with every request: a token where one is given out. */
export async function headersFor(
  { name, url }: RunningServer,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  if (name === distributionName) return {}
  const { headers } = await fetch(`${url}/v2/`, { signal })
  const service = /service="([^"]*)"/.exec(headers.get('www-authenticate') ?? '')?.[1] ?? ''
  const question = new URLSearchParams({ service, scope: `repository:${repository}:pull,push` })
  const response = await fetch(`${url}/service/token?${question}`, {
    headers: { authorization: `Basic ${Buffer.from(`admin:${password}`).toString('base64')}` },
    signal,
  })
  const { token } = (await response.json()) as { token?: string }
  if (token === undefined) throw new Error(`${url} gives no token: ${response.status}`)
  return { authorization: `Bearer ${token}` }
}
