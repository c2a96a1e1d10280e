import { columnsOf, measureParts, sectionsOf } from '../support/cases.ts'
import { versionsOf } from '../support/line-up.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { verdictsOn } from '../support/requirement.ts'
import { outport } from '../support/servers/outport.ts'
import type { Server } from '../support/servers/server.ts'
import { busyReaders } from './busy-readers.ts'
import type { KeepingCase } from './case.ts'
import { flippedBit } from './flipped-bit.ts'
import { hotWhileAtWork } from './hot-while-at-work.ts'
import { manyImages } from './many-images.ts'
import { powerCuts } from './power-cuts.ts'
import { pushKills } from './push-kills.ts'

const cases: readonly KeepingCase[] = [
  busyReaders,
  flippedBit,
  powerCuts,
  hotWhileAtWork,
  manyImages,
  pushKills,
]

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
  const measured = (each: KeepingCase, _: Server, deadline: AbortSignal) => each.measure(quick, deadline)
  const server = await outport()
  const { samples, failures } = await measureParts(wanted, [server], runs, measured, signal)
  const columns = columnsOf(wanted)
  return {
    title: `what Outport keeps; median of ${runs} rounds`,
    columns,
    samples,
    sections: sectionsOf(wanted),
    reference: server.name,
    versions: versionsOf([server]),
    verdicts: verdictsOn(columns, samples, server.name, server.name),
    notes: [...failures, ...(quick ? ['Less than what is required was asked: "holds" says little.'] : [])],
  }
}
