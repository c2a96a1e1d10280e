import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { outport } from '../support/command.ts'
import { startHosted } from '../support/hosted.ts'
import { createMix, type Mix } from './support/garbage-mix.ts'
import { chanceOf, soakSeconds } from './support/soak.ts'
import { storedDigests } from './support/stored.ts'

const seed = Number(process.env.OUTPORT_SEED ?? Date.now() % 2 ** 32)
/** Longer than the mix takes from a blob to its manifest, however slow the machine is. */
const graceSeconds = 3
const rules = { kind: 'gc', every: '1s', grace: `${graceSeconds}s`, untagged: `${graceSeconds}s` }
const clients = 6

/** A few of each are at work until `seconds` are over. */
async function runMix(mix: Mix, seconds: number): Promise<void> {
  const until = Date.now() + seconds * 1000
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      const chance = chanceOf(seed + client)
      while (Date.now() < until && !mix.isInterrupted()) await mix.step(chance, client)
    }),
  )
}

test('garbage goes once a second while images are pushed, mounted, deleted and pulled: none is missed', {
  timeout: (soakSeconds + 180) * 1000,
}, async () => {
  await using edge = await startHosted({ more: [rules] })
  const mix = createMix(edge, graceSeconds * 1000)
  const done = async () => {
    const { failures: _, late: __, ...counts } = mix.counts()
    const unlinked = (kind: string) => edge.metrics('outport_gc_unlinked_total', { kind })
    return {
      ...{ ...counts, blobs: await unlinked('blob'), manifests: await unlinked('manifest') },
      runs: await edge.metrics('outport_gc_runs_total', { outcome: 'done' }),
    }
  }
  const isEnough = async () => Math.min(...Object.values(await done())) > 4
  const [from, seconds] = [performance.now(), soakSeconds || 20]
  for (let passed = 0; passed < seconds || (passed < 90 && !(await isEnough())); ) {
    await runMix(mix, 5)
    passed = (performance.now() - from) / 1000
  }
  const told = `seed ${seed}, ${JSON.stringify(await done())}`
  expect(mix.counts().failures, told).toEqual([])
  expect(await isEnough(), told).toBe(true)
  await mix.pullAll()
  expect(mix.counts().failures).toEqual([])

  await mix.deleteAll()
  await expect.poll(() => storedDigests(edge.data), { timeout: 60_000, interval: 1_000 }).toEqual([])
  await expect.poll(() => edge.metrics('outport_cache_bytes'), { timeout: 70_000, interval: 500 }).toBe(0)
  const { stdout } = await outport(['fsck', '--json'], {
    ...{ OUTPORT_DATA: edge.data, OUTPORT_POLICIES: edge.policies },
  })
  expect(JSON.parse(stdout)).toMatchObject({ checked: 0, rotten: 0, absent: 0, unknown: 0 })
})

test('a node that is killed again and again amid all this has every image that it acknowledged', {
  timeout: (soakSeconds + 180) * 1000,
}, async () => {
  await using edge = await startHosted({ more: [rules] })
  const mix = createMix(edge, graceSeconds * 1000)
  const chance = chanceOf(seed)
  const until = Date.now() + soakSeconds * 1000
  for (let round = 0; round < 4 || Date.now() < until; round++) {
    const mixing = runMix(mix, 60)
    await sleep(3_000 + chance.below(3_000))
    mix.interrupt()
    await edge.kill()
    await mixing
    await edge.restart()
    mix.resume()
    await mix.pullAll()
    expect(mix.counts().failures, `seed ${seed}`).toEqual([])
  }
})
