import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { amountOf } from '../test/support/upstream/cli.ts'
import { coldClients } from './cold-clients/question.ts'
import { hotBlob } from './hot-blob/question.ts'
import { hotManifest } from './hot-manifest/question.ts'
import { keeping } from './keeping/question.ts'
import { mirror } from './mirror/question.ts'
import { push } from './push/question.ts'
import { start } from './start/question.ts'
import type { BenchSettings, Question } from './support/question.ts'
import { loadNow, machine, type Result, writeResult } from './support/results.ts'
import { formatSections } from './support/sections-table.ts'
import { peerOf } from './support/servers/peer.ts'
import { formatTable } from './support/table.ts'

const questions: readonly Question[] = [hotBlob, coldClients, start, hotManifest, mirror, keeping, push]
const deadlineMinutes = 20

const partLines = ({ parts = [] }: Question) =>
  parts.map(({ number, asks }) => `${String(number).padStart(18)}  ${asks}`)

const usage = `npm run bench -- QUESTION [--runs N] [--json FILE] [--peer name=command] ...

Measures servers side by side on this machine, with the same content, in alternating rounds. Prints for each value the
median of the rounds with its range; ratio: the median of what it is to the reference in each round. Linux only.

Questions:
${questions.flatMap((each) => [`  ${each.name.padEnd(14)}${each.asks}`, ...partLines(each)]).join('\n')}

Options:
  --runs N             rounds, instead of what the question has for good; --rounds N is the same
  --only N,N           of a question with numbered parts, these
  --alone              Outport and the peers named here, nothing else
  --quick              less of everything: shows that it works, too little to quote
  --size SIZE          of blobs (64MiB); where a question has blobs of several sizes, all are scaled alike
  --json FILE          where the result goes, instead of a new file in bench/results/
  --peer name=command  one more server, as often as wanted: the shell that runs the command knows $PORT to answer on,
                       $UPSTREAM to mirror (an origin), $DATA (an empty folder), $POLICIES (for another Outport);
                       {port}, {upstream}, {data} and {policies} in the command are the same
  --profile FOLDER     write a CPU profile of Outport there; its figures suffer
  --help

Distribution is the program "registry" in $OUTPORT_TOOLS (/opt/outport-tools) or on the PATH. Outport's access log is
off, as that of the others, unless OUTPORT_LOG_LEVEL says otherwise.`

interface Order {
  question: Question
  settings: BenchSettings
  json?: string
}

/** @returns `undefined` when nothing is to be measured but the usage to be shown */
function orderOf(args: string[]): Order | undefined {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      rounds: { type: 'string' },
      only: { type: 'string' },
      alone: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      size: { type: 'string', default: '64MiB' },
      json: { type: 'string' },
      peer: { type: 'string', multiple: true, default: [] },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const { quick, alone, size, json, peer, profile, help } = values
  const [name, ...others] = positionals
  if (help || name === undefined) return undefined
  const question = questions.find((each) => each.name === name)
  if (!question)
    throw new Error(`no question "${name}"; there are ${questions.map((each) => each.name).join(', ')}`)
  if (others.length > 0) throw new Error('one question at a time')
  const said = values.runs ?? values.rounds
  const runs = Number(said ?? (quick ? question.quickRuns : question.runs))
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${said}: a whole number from 1 on`)
  const only = partsOf(question, values.only)
  const settings = { runs, quick, blobBytes: amountOf(size), only, alone, peers: peer.map(peerOf) }
  return {
    question,
    settings: { ...settings, ...(profile !== undefined && { profile: resolve(profile) }) },
    ...(json !== undefined && { json }),
  }
}

function partsOf({ name, parts = [] }: Question, only: string | undefined): number[] {
  const wanted = only?.split(',').map(Number) ?? []
  const unknown = wanted.find((each) => !parts.some(({ number }) => number === each))
  if (unknown !== undefined) throw new Error(`--only ${only}: ${name} has no part ${unknown}`)
  return wanted
}

async function measure({ question, settings, json }: Order, signal: AbortSignal): Promise<void> {
  if (process.platform !== 'linux') throw new Error('needs Linux: what a process costs is read from /proc')
  const before = { startedAt: new Date(), loadBefore: loadNow() }
  const answer = await question.answer(settings, signal)
  show({ ...before, question: question.name, settings, answer })
  const file = await writeResult({ ...before, question: question.name, settings, answer }, json)
  console.log(`Written to ${file}`)
}

function show({ question, loadBefore, answer }: Result): void {
  const { processor, cores } = machine()
  console.log(`${question}: ${answer.title}\n`)
  const { columns, samples, reference, sections } = answer
  console.log(`${sections ? formatSections(answer) : formatTable(columns, samples, reference)}\n`)
  console.log(`ratio: to ${reference}, median of the rounds`)
  for (const [name, version] of Object.entries(answer.versions)) console.log(`${name}: ${version}`)
  console.log(`Machine: ${processor}, ${cores} cores; load before the start ${loadBefore.toFixed(1)}`)
  if (loadBefore > 0.5) console.log('It was not idle: trust CPU times, not what is measured by the clock.')
  for (const note of answer.notes) console.log(note)
}

function startDeadline({ minutes = deadlineMinutes }: Question): NodeJS.Timeout {
  const overdue = new Error(`not through after ${minutes} minutes`)
  return setTimeout(() => interrupted.abort(overdue), minutes * 60_000)
}

const interrupted = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => interrupted.abort(new Error(`stopped by ${name}`)))
let timer: NodeJS.Timeout | undefined
try {
  const order = orderOf(process.argv.slice(2))
  if (order) timer = startDeadline(order.question)
  if (order) await measure(order, interrupted.signal)
  else console.log(usage)
} catch (error) {
  const reason = interrupted.signal.aborted ? interrupted.signal.reason : error
  console.error(`bench: ${reason instanceof Error ? reason.message : reason}`)
  process.exitCode = 1
} finally {
  clearTimeout(timer)
}
