import { columnsOf, joined, sectionsOf } from '../support/cases.ts'
import { lineUpOf } from '../support/line-up.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { type Figure, verdictsOn } from '../support/requirement.ts'
import { nginxCache } from '../support/servers/nginx-cache.ts'
import type { Case } from './case.ts'
import { cutRanges } from './cut-ranges.ts'
import { farRange } from './far-range.ts'
import { fastLine } from './fast-line.ts'
import { killed } from './killed.ts'
import { known, knownNote } from './known.ts'
import { leavingClient } from './leaving-client.ts'
import { longLine } from './long-line.ts'
import { manyClients } from './many-clients.ts'
import { pullLimit } from './pull-limit.ts'
import { resets } from './resets.ts'
import { type CaseResult, costFigures, runCase } from './run-case.ts'
import { stalledReaders } from './stalled-readers.ts'

const cases: readonly Case[] = [
  manyClients,
  stalledReaders,
  resets,
  killed,
  farRange,
  cutRanges,
  leavingClient,
  longLine,
  pullLimit,
  fastLine,
]
const requiredBlobBytes = 64 * 1024 ** 2

export const mirror: Question = {
  name: 'mirror',
  asks: 'what becomes of a cold blob when lines are slow, break or are dear, and clients many, slow or gone?',
  runs: 3,
  quickRuns: 1,
  parts: cases,
  minutes: 90,
  answer,
}

async function answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer> {
  const lineUp = await lineUpOf(settings, { nginx: await nginxCache() })
  const wanted = cases.filter(({ number }) => settings.only.length === 0 || settings.only.includes(number))
  const results: CaseResult[] = []
  for (const each of wanted) results.push(await runCase(each, lineUp.servers, settings, signal))

  const measured = wanted.map((each) => ({ ...each, figures: figuresOf(each) }))
  const columns = columnsOf(measured)
  const samples = joined(
    wanted,
    results.map((result) => result.samples),
  )
  const isKnown = !lineUp.servers.some(({ name }) => name === known.server)
  return {
    ...lineUp.about,
    title: `a mirror with nothing cached, in front of an upstream of our own; median of ${settings.runs} rounds`,
    columns,
    sections: sectionsOf(measured),
    samples,
    known: isKnown ? [known] : [],
    verdicts: verdictsOn(columns, samples, 'outport', lineUp.about.reference),
    notes: [...lineUp.about.notes, ...notesOn(settings, results), ...(isKnown ? [knownNote] : [])],
  }
}

function figuresOf({ figures }: Case): readonly Figure[] {
  return [...figures, ...costFigures]
}

function notesOn({ quick, blobBytes }: BenchSettings, results: readonly CaseResult[]): string[] {
  const failures = results.flatMap((result) => result.failures).map((failure) => `No figures: ${failure}`)
  const isLess = quick || blobBytes !== requiredBlobBytes
  return isLess
    ? [...failures, 'Sizes and counts are not those of the requirements: "holds" says little.']
    : failures
}
