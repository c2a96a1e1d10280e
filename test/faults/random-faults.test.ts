import { expect, test } from 'vitest'
import { buildImage, type Content } from '../support/images.ts'
import type { FaultEffects } from '../support/upstream.ts'
import { attempt, isWhole, repository, startSite } from './support/site.ts'
import { type Chance, soak, soakSeconds } from './support/soak.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const timeouts = { head: '1s', idle: '1s' }

test('whatever upstream does to a blob, a complete answer is the right one, and health returns with it', {
  timeout: (soakSeconds + 180) * 1000,
}, async () => {
  await using site = await startSite({ policy: { registry: { timeouts } } })

  await soak(15, async (chance, at) => {
    const image = buildImage({ layers: [1 + chance.below(2_000_000)], seed: `${at} ${chance.below(1e9)}` })
    const [layer] = image.layers as [Content]
    site.upstream.addImage(repository, '1', image)
    const known = await site.askTag(image.manifest.digest)
    const effects = [effectsBy(chance, layer), effectsBy(chance, layer)]
    const faults = effects.map((each) => site.upstream.fault({ on: { kind: 'blob' }, times: 1, ...each }))

    const answers = await Promise.all([0, 1, 2].map(() => attempt(site.askBlob(layer))))
    for (const fault of faults) fault[Symbol.dispose]()

    expect(known.status, JSON.stringify(effects)).toBe(200)
    for (const answer of answers) {
      if (isWhole(answer)) expect(answer?.sha256, JSON.stringify(effects)).toBe(layer.digest)
    }
    await expect
      .poll(() => site.askBlob(layer), { timeout: 20_000, interval: 100, message: JSON.stringify(effects) })
      .toMatchObject({ status: 200, complete: true, sha256: layer.digest })
    if (at % 20 === 0) await storedDigests(site.edge.data)
    site.upstream.clear()
  })

  await storedDigests(site.edge.data)
  expect((await partsIn(site.edge.data)).filter((name) => name.endsWith('.part'))).toEqual([])
  expect(await site.edge.metrics('outport_fills')).toBe(0)
})

function effectsBy(chance: Chance, { bytes }: Content): FaultEffects {
  const place = chance.below(bytes.length)
  return chance.pick<FaultEffects>([
    { truncateAt: place },
    { resetAt: place },
    { stallAt: place },
    { flipAt: place },
    { drop: true },
    { status: chance.pick([401, 403, 404, 429, 500, 503]) },
    { html: true },
    { tail: Buffer.alloc(1 + chance.below(100_000)) },
    { body: bytes.subarray(0, place) },
    { contentLength: Math.max(0, bytes.length + chance.below(200) - 100) },
    { chunked: true, truncateAt: place },
    { http10: true, truncateAt: place },
    { gzip: true },
    { closeAfter: true },
    { informational: 103, flipAt: place },
    { ignoreRange: true, resetAt: place },
    { redirect: 'http://127.0.0.1:1/nowhere' },
  ])
}
