import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { installPacked } from '../../test/support/packed.ts'
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
const forms = ['packed', 'checkout'] as const
type Form = (typeof forms)[number]
const states = ['cold', 'warm'] as const
type State = (typeof states)[number]

const required = {
  packed: { ready: { cold: 800, warm: 800 }, idle: { cold: 110, warm: 110 } },
  checkout: { ready: { cold: 1500, warm: 1000 }, idle: { cold: 140, warm: 140 } },
}

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
  const { command } = owned.use(await installPacked())
  const upstream = owned.use(await startUpstreamProcess([]))
  const serverOf = (form: Form, state: State, compileCache: string) =>
    outport({ name: nameOf(form, state), compileCache, ...(form === 'packed' && { command }) })
  const own: Server[] = []
  for (const form of forms) {
    const warm = await serverOf(form, 'warm', join(caches, form))
    const first = await startServer(warm, upstream.url, signal)
    await first[Symbol.asyncDispose]()
    own.push(await serverOf(form, 'cold', join(caches, 'never')), warm)
  }

  const others = await peersOf(settings)
  const servers = [...own, ...others.servers]
  const samples = await inRounds(settings.runs, servers, async (server, round) => {
    const form = forms.find((each) => server.name === nameOf(each, 'cold'))
    const empty = form && (await serverOf(form, 'cold', join(caches, `${form}-${round}`)))
    return measure(empty ?? server, upstream.url, signal)
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

function nameOf(form: Form, state: State): string {
  return `outport, ${form}, ${state} compile cache`
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
  const told = { ready: { what: 'first 200', unit: 'ms' }, idle: { what: 'idle memory', unit: 'MiB' } }
  return forms.flatMap((form) =>
    states.flatMap((state) =>
      (['ready', 'idle'] as const).map((key) =>
        judge({
          what: `${nameOf(form, state)}: ${told[key].what}`,
          value: spreadOf(valuesOf(samples, nameOf(form, state), key))?.median,
          atMost: required[form][key][state],
          digits: 0,
          unit: told[key].unit,
        }),
      ),
    ),
  )
}
