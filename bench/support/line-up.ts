import type { Answer, BenchSettings } from './question.ts'
import { distribution, distributionName, dockerRegistry } from './servers/distribution.ts'
import { outport } from './servers/outport.ts'
import type { Server } from './servers/server.ts'
import { type RunningServer, startServer } from './start-server.ts'

export interface LineUp {
  readonly servers: readonly Server[]
  /** The notes say what is not here and so was not measured. */
  readonly about: Pick<Answer, 'reference' | 'versions' | 'notes'>
}

/** Outport, distribution, and of `others` and docker-registry what is here. @throws MissingProgramError without distribution */
export async function lineUpOf(
  { peers, profile, alone }: BenchSettings,
  others: Readonly<Record<string, Server | undefined>> = {},
): Promise<LineUp> {
  const own = await outport(profile === undefined ? {} : { profile })
  if (alone) return { servers: [own, ...peers], about: aboutOf([own, ...peers], []) }
  const optional = { 'docker-registry': await dockerRegistry(), ...others }
  const missing = Object.entries(optional).flatMap(([name, server]) => (server ? [] : [name]))
  const found = Object.values(optional).filter((server) => server !== undefined)
  const servers = [own, await distribution(), ...found, ...peers]
  return { servers, about: aboutOf(servers, missing) }
}

function aboutOf(servers: readonly Server[], missing: readonly string[]): LineUp['about'] {
  return {
    reference: distributionName,
    versions: versionsOf(servers),
    notes: missing.map((name) => `${name} was not measured: it is not on this machine.`),
  }
}

export function versionsOf(servers: readonly Server[]): Record<string, string> {
  return Object.fromEntries(servers.map(({ name, version }) => [name, version]))
}

/** One after another; `owned` ends them. */
export async function startAll(
  servers: readonly Server[],
  upstream: string,
  owned: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<RunningServer[]> {
  const running: RunningServer[] = []
  for (const server of servers) running.push(owned.use(await startServer(server, upstream, signal)))
  return running
}
