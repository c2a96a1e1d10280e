import { expect, test } from 'vitest'
import { describeWith } from '../support/tools.ts'
import { startPowerSite } from './support/power-cuts.ts'
import { soak, soakSeconds } from './support/soak.ts'

describeWith(['namespaces', 'mkfs.ext4'], 'on a disk of its own', () => {
  test('the power is cut at random points of fills and evictions: the next node starts, and nothing is wrong', {
    timeout: (soakSeconds + 240) * 1000,
  }, async () => {
    await using site = await startPowerSite()
    let [stored, tags] = [0, 0]

    await soak(10, async (chance) => {
      const aftermath = await site.cut(chance)
      expect(aftermath.rotten).toBe(0)
      stored += aftermath.stored
      tags += aftermath.tags
    })

    expect(stored).toBeGreaterThan(50)
    expect(tags).toBeGreaterThan(50)
  })
})
