import { messageOf } from '../../src/flow/message-of.ts'
import { type MixAftermath, startPushMix } from '../../test/faults/support/push-mix.ts'
import { chanceOf } from '../../test/faults/support/soak.ts'
import type { KeepingCase } from './case.ts'

const kills = 100

export const pushKills: KeepingCase = {
  number: 6,
  asks: `killed at ${kills} random points while four clients push, mount and delete`,
  figures: [
    {
      key: 'kills',
      title: 'kills after which everything was as acknowledged',
      digits: 0,
      required: { of: 'worst', atLeast: kills },
    },
    {
      key: 'wrong',
      title: 'after which something was wrong',
      digits: 0,
      required: { of: 'worst', atMost: 0 },
    },
    { key: 'images', title: 'images there, in the mean', digits: 1, required: { of: 'worst', atLeast: 2 } },
    { key: 'happened', title: 'without an answer, and had happened', digits: 0 },
    { key: 'lost', title: 'without an answer, and had not', digits: 0 },
    {
      key: 'resumed',
      title: 'uploads that went on',
      digits: 0,
      required: { of: 'worst', atLeast: kills / 4 },
    },
    { key: 'orphans', title: 'files to which nothing pointed', digits: 0 },
    { key: 'ready', title: 'slowest start, ms', digits: 0 },
  ],
  deadlineMs: 1_500_000,
  async measure(quick, signal) {
    await using mix = await startPushMix()
    const seed = Math.floor(Math.random() * 2 ** 32)
    const chance = chanceOf(seed)
    const left: MixAftermath[] = []
    let wrong = 0
    for (let kill = 0; kill < (quick ? kills / 20 : kills) && wrong === 0; kill++) {
      signal.throwIfAborted()
      await mix.kill(chance).then(
        (aftermath) => left.push(aftermath),
        (error: unknown) => {
          process.stderr.write(`  kill ${kill + 1}: ${messageOf(error)}\n`)
          wrong += 1
        },
      )
    }
    const sum = (of: (each: MixAftermath) => number) => left.reduce((total, each) => total + of(each), 0)
    return {
      kills: left.length,
      wrong,
      images: sum(({ images }) => images) / left.length,
      happened: sum(({ happened }) => happened),
      lost: sum(({ lost }) => lost),
      resumed: sum(({ resumed }) => resumed),
      orphans: sum(({ orphans }) => orphans),
      ready: Math.max(...left.map(({ readyMs }) => readyMs)),
    }
  },
}
