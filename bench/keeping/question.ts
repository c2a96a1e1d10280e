import type { Figure } from '../mirror/case.ts'
import { versionsOf } from '../support/line-up.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { verdictsOn } from '../support/requirement.ts'
import { outport } from '../support/servers/outport.ts'
import type { Sample } from '../support/summary.ts'
import { busyReaders } from './busy-readers.ts'
import type { KeepingCase } from './case.ts'
import { flippedBit } from './flipped-bit.ts'
import { hotWhileAtWork } from './hot-while-at-work.ts'
import { manyImages } from './many-images.ts'
import { powerCuts } from './power-cuts.ts'

const cases: readonly KeepingCase[] = [busyReaders, flippedBit, powerCuts, hotWhileAtWork, manyImages]
const server = 'outport'

export const keeping: Question = {
  name: 'keeping',
  asks: 'what becomes of what is kept when there is too much of it, when it rots and when the power fails?',
  runs: 1,
  quickRuns: 1,
  parts: cases,
  minutes: 60,
  answer,
}

async function answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer> {
  const { runs, quick, only } = settings
  const wanted = cases.filter(({ number }) => only.length === 0 || only.includes(number))
  const failures: string[] = []
  const samples: Sample[] = []
  for (let round = 0; round < runs; round++) {
    const values: Record<string, number> = {}
    for (const each of wanted) {
      process.stderr.write(`${each.number}. ${each.asks}, round ${round + 1} of ${runs}\n`)
      try {
        for (const [key, value] of Object.entries(await measure(each, quick, signal)))
          values[keyOf(each, key)] = value
      } catch (error) {
        signal.throwIfAborted()
        const message = error instanceof Error ? error.message : String(error)
        failures.push(`No figures: ${each.number}, round ${round + 1}: ${message.trim().split('\n')[0]}`)
      }
    }
    samples.push({ server, values })
  }
  const columns = wanted.flatMap((each) => each.figures.map((figure) => columnOf(each, figure)))
  return {
    title: `what Outport keeps; median of ${runs} rounds`,
    columns,
    samples,
    sections: wanted.map((each) => ({
      title: `${each.number}. ${each.asks}`,
      keys: each.figures.map(({ key }) => keyOf(each, key)),
    })),
    reference: server,
    versions: versionsOf([await outport()]),
    verdicts: verdictsOn(columns, samples, server, server),
    notes: [...failures, ...(quick ? ['Less than what is required was asked: "holds" says little.'] : [])],
  }
}

async function measure(each: KeepingCase, quick: boolean, signal: AbortSignal): Promise<Sample['values']> {
  return each.measure(quick, AbortSignal.any([signal, AbortSignal.timeout(each.deadlineMs)]))
}

function keyOf({ number }: KeepingCase, key: string): string {
  return `${number}.${key}`
}

function columnOf(each: KeepingCase, figure: Figure): Figure {
  return { ...figure, key: keyOf(each, figure.key) }
}
