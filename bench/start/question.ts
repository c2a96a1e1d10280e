import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { temporaryDirectory } from '../../test/support/temporary.ts'
import { startUpstreamProcess } from '../demo/upstream-process.ts'
import { versionsOf } from '../support/line-up.ts'
import { cpuSecondsOf, residentBytesOf } from '../support/process-cost.ts'
import { MissingProgramError } from '../support/programs.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { judge } from '../support/requirement.ts'
import { inRounds } from '../support/rounds.ts'
import { distribution, distributionName } from '../support/servers/distribution.ts'
import { outport } from '../support/servers/outport.ts'
import type { Server } from '../support/servers/server.ts'
import { startServer } from '../support/start-server.ts'
import { type Column, type Sample, spreadOf, valuesOf } from '../support/summary.ts'

const idleMs = 3_000
const coldName = 'outport, cold compile cache'
const warmName = 'outport, warm compile cache'

const required = [
  { server: coldName, key: 'ready', atMost: 1500, unit: 'ms' },
  { server: warmName, key: 'ready', atMost: 1000, unit: 'ms' },
  { server: coldName, key: 'idle', atMost: 140, unit: 'MiB' },
  { server: warmName, key: 'idle', atMost: 140, unit: 'MiB' },
] as const

const columns: readonly Column[] = [
  { key: 'ready', title: 'first 200 after ms', digits: 0, compared: true },
  { key: 'cpu', title: `CPU s in that and ${idleMs / 1000} s idle`, digits: 2 },
  { key: 'idle', title: 'idle MiB', digits: 0, compared: true },
]

export const start: Question = {
  name: 'start',
  asks: 'how soon does it answer after its start, and what does it hold in memory then?',
  runs: 5,
  quickRuns: 2,
  answer,
}

async function answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer> {
  await using owned = new AsyncDisposableStack()
  const { path: caches } = owned.use(await temporaryDirectory())
  const upstream = owned.use(await startUpstreamProcess([]))
  const warm = await outport({ name: warmName, compileCache: join(caches, 'warm') })
  const first = await startServer(warm, upstream.url, signal)
  await first[Symbol.asyncDispose]()

  const others = await peersOf(settings)
  const cold = await outport({ name: coldName })
  const servers = [cold, warm, ...others.servers]
  const samples = await inRounds(settings.runs, servers, async (server, round) => {
    const empty = { name: cold.name, compileCache: join(caches, `cold-${round}`) }
    return measure(server === cold ? await outport(empty) : server, upstream.url, signal)
  })
  return {
    title: `from the start of the process to the first 200 on /v2/, with an empty data folder; memory ${idleMs / 1000} s later`,
    columns,
    samples,
    reference: distributionName,
    versions: versionsOf(servers),
    notes: [...others.notes, ...verdictsOf(samples)],
  }
}

/** Distribution stands beside it where it is here: what is asked can be said without. */
async function peersOf({ peers, alone }: BenchSettings): Promise<{ servers: Server[]; notes: string[] }> {
  if (alone) return { servers: [...peers], notes: [] }
  try {
    return { servers: [await distribution(), ...peers], notes: [] }
  } catch (error) {
    if (!(error instanceof MissingProgramError)) throw error
    return { servers: [...peers], notes: [error.message] }
  }
}

async function measure(server: Server, upstream: string, signal: AbortSignal): Promise<Sample['values']> {
  await using running = await startServer(server, upstream, signal)
  await pause(idleMs, undefined, { signal })
  return {
    ready: running.readyMs,
    cpu: await cpuSecondsOf(running.pid),
    idle: (await residentBytesOf(running.pid)) / 1024 ** 2,
  }
}

function verdictsOf(samples: readonly Sample[]): string[] {
  const whats = { ready: 'first 200', idle: 'idle memory' }
  return required.map(({ server, key, atMost, unit }) =>
    judge({
      what: `${server}: ${whats[key]}`,
      value: spreadOf(valuesOf(samples, server, key))?.median,
      atMost,
      digits: 0,
      unit,
    }),
  )
}
