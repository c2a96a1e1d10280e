import { messageOf } from '../../src/flow/message-of.ts'
import { type Aftermath, startPowerSite } from '../../test/faults/support/power-cuts.ts'
import { chanceOf } from '../../test/faults/support/soak.ts'
import type { KeepingCase } from './case.ts'

const cuts = 100

export const powerCuts: KeepingCase = {
  number: 3,
  asks: `the power is cut at ${cuts} random points of fills and evictions`,
  figures: [
    {
      key: 'cuts',
      title: 'cuts after which the node started',
      digits: 0,
      required: { of: 'worst', atLeast: cuts },
    },
    {
      key: 'wrong',
      title: 'after which a blob or tag was wrong',
      digits: 0,
      required: { of: 'worst', atMost: 0 },
    },
    { key: 'rotten', title: 'rotten, as fsck finds', digits: 0, required: { of: 'worst', atMost: 0 } },
    { key: 'stored', title: 'blobs left, in the mean', digits: 0, required: { of: 'worst', atLeast: 10 } },
    { key: 'tags', title: 'tags that were pulled', digits: 0, required: { of: 'worst', atLeast: 10 * cuts } },
    { key: 'absent', title: 'links without a file', digits: 0 },
    { key: 'unknown', title: 'files without a link', digits: 0 },
    { key: 'ready', title: 'slowest start, ms', digits: 0 },
  ],
  deadlineMs: 1_500_000,
  async measure(quick, signal) {
    await using site = await startPowerSite()
    const chance = chanceOf(Math.floor(Math.random() * 2 ** 32))
    const left: Aftermath[] = []
    let wrong = 0
    for (let cut = 0; cut < (quick ? cuts / 20 : cuts); cut++) {
      signal.throwIfAborted()
      await site.cut(chance).then(
        (aftermath) => left.push(aftermath),
        (error: unknown) => {
          process.stderr.write(`  cut ${cut + 1}: ${messageOf(error)}\n`)
          wrong += 1
        },
      )
    }
    const sum = (of: (each: Aftermath) => number) => left.reduce((total, each) => total + of(each), 0)
    return {
      cuts: left.length,
      wrong,
      rotten: sum(({ rotten }) => rotten),
      stored: sum(({ stored }) => stored) / left.length,
      tags: sum(({ tags }) => tags),
      absent: sum(({ absent }) => absent),
      unknown: sum(({ unknown }) => unknown),
      ready: Math.max(...left.map(({ readyMs }) => readyMs)),
    }
  },
}
