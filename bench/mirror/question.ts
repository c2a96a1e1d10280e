import { lineUpOf } from '../support/line-up.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { verdictsOn } from '../support/requirement.ts'
import { nginxCache } from '../support/servers/nginx-cache.ts'
import type { Sample } from '../support/summary.ts'
import type { Case, Figure } from './case.ts'
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

  const columns = wanted.flatMap((each) => figuresOf(each).map((figure) => columnOf(each, figure)))
  const samples = joined(wanted, results)
  const isKnown = !lineUp.servers.some(({ name }) => name === known.server)
  return {
    ...lineUp.about,
    title: `a mirror with nothing cached, in front of an upstream of our own; median of ${settings.runs} rounds`,
    columns,
    sections: wanted.map((each) => ({
      title: `${each.number}. ${each.asks}`,
      keys: figuresOf(each).map(({ key }) => keyOf(each, key)),
    })),
    samples,
    known: isKnown ? [known] : [],
    verdicts: verdictsOn(columns, samples, 'outport', lineUp.about.reference),
    notes: [...lineUp.about.notes, ...notesOn(settings, results), ...(isKnown ? [knownNote] : [])],
  }
}

function figuresOf({ figures }: Case): readonly Figure[] {
  return [...figures, ...costFigures]
}

function keyOf({ number }: Case, key: string): string {
  return `${number}.${key}`
}

function columnOf(each: Case, figure: Figure): Figure {
  return { ...figure, key: keyOf(each, figure.key) }
}

/** Of each server and round one sample with the figures of all cases. */
function joined(wanted: readonly Case[], results: readonly CaseResult[]): Sample[] {
  const rounds = results.map(({ samples }, at) => prefixed(wanted[at], samples))
  const servers = [...new Set(rounds.flat().map(({ server }) => server))]
  return servers.flatMap((server) => {
    const own = rounds.map((samples) => samples.filter((sample) => sample.server === server))
    return (own[0] ?? []).map((_, round) => ({
      server,
      values: Object.assign({}, ...own.map((samples) => samples[round]?.values)),
    }))
  })
}

function prefixed(each: Case | undefined, samples: readonly Sample[]): Sample[] {
  if (!each) return []
  return samples.map(({ server, values }) => ({
    server,
    values: Object.fromEntries(Object.entries(values).map(([key, value]) => [keyOf(each, key), value])),
  }))
}

function notesOn({ quick, blobBytes }: BenchSettings, results: readonly CaseResult[]): string[] {
  const failures = results.flatMap((result) => result.failures).map((failure) => `No figures: ${failure}`)
  const isLess = quick || blobBytes !== requiredBlobBytes
  return isLess
    ? [...failures, 'Sizes and counts are not those of the requirements: "holds" says little.']
    : failures
}
