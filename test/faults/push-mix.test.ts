import { expect, test } from 'vitest'
import { startPushMix } from './support/push-mix.ts'
import { soak, soakSeconds } from './support/soak.ts'

test('killed at random points while four clients push, mount and delete: what was acknowledged is there and whole, what was not is there as a whole or not at all', {
  timeout: (soakSeconds + 240) * 1000,
}, async () => {
  await using mix = await startPushMix()
  let images = 0

  await soak(8, async (chance) => {
    images += (await mix.kill(chance)).images
  })

  expect(images).toBeGreaterThan(0)
})
