import { expect, test } from 'vitest'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import type { FaultEffects } from '../support/upstream.ts'
import { repository, startSite } from './support/site.ts'
import { type Chance, soak, soakSeconds } from './support/soak.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const size = 32 * 1024 * 1024
const bytes = pseudoRandomBytes(size, 'breaks')
const breaks = 200
/** Of them. Each takes a second, the least that an idle deadline may be off by. */
const stalls = 5

// A number of ranges at a time that is not 1 is a wish: each range must come through its own breaks.
test.each([
  1, 4,
])('two hundred random breaks within one blob, brought in %i ranges at a time, are nobody’s business', {
  timeout: (soakSeconds + 40) * 1000,
}, async (segments) => {
  await soak(1, async (chance) => {
    const policy = { registry: { segments, timeouts: { head: '5s', idle: '200ms' } } }
    const signal = AbortSignal.timeout(30_000)
    await using site = await startSite({ policy })
    const digest = site.upstream.addBlob(repository, bytes)
    const faults = breaksBy(chance).map((effects) =>
      site.upstream.fault({ on: { kind: 'blob', method: 'GET' }, times: 1, ...effects }),
    )

    const answers = await Promise.all(
      [0, 1, 2].map(() => site.ask(`blobs/${digest}`, { keep: false, signal })),
    )

    for (const answer of answers)
      expect(answer).toMatchObject({ status: 200, complete: true, bytes: size, sha256: digest })
    expect(faults.filter(({ hits }) => hits === 0)).toEqual([])
    expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(size * 1.01)
    expect(await storedDigests(site.edge.data)).toContain(digest)
    expect(await partsIn(site.edge.data)).toEqual([])
    expect(site.edge.logs.filter(({ msg }) => msg === 'fill failed' || msg === 'body broken off')).toEqual([])
  })
})

/** In any order; each after some bytes, of which all together leave some unasked for. */
function breaksBy(chance: Chance): FaultEffects[] {
  const effects: FaultEffects[] = []
  for (let at = 0; at < breaks; at++) {
    const place = 1 + chance.below((1.5 * size) / breaks)
    const effect = at < stalls ? { stallAt: place } : chance.pick([{ resetAt: place }, { truncateAt: place }])
    effects.splice(chance.below(effects.length + 1), 0, effect)
  }
  return effects
}
