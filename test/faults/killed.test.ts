import { expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { isWhole, layerOf, repository, startSite } from './support/site.ts'
import { soak, soakSeconds } from './support/soak.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024

test('killed in the middle of a download with 50 clients: all are cut, and the next pull fetches only the rest', async () => {
  const image = buildImage({ layers: [32 * MiB] })
  const layer = layerOf(image)
  const landed = 24 * MiB
  await using site = await startSite({ image })
  const stall = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, stallAt: landed })
  const progress = new Map<number, number>()
  const clients = Array.from({ length: 50 }, (_, at) =>
    site.askBlob(layer, { onProgress: (bytes) => progress.set(at, bytes) }),
  )
  await expect
    .poll(() => [...progress.values()].filter((bytes) => bytes > landed / 2).length, { timeout: 20_000 })
    .toBe(50)

  await site.edge.kill()
  const answers = await Promise.all(clients)
  expect(answers.filter(isWhole)).toEqual([])
  expect(site.upstream.count({ kind: 'blob', method: 'GET' })).toBe(1)

  stall[Symbol.dispose]()
  site.upstream.clear()
  await site.edge.restart()
  const next = await pull(site.edge.url, repository, '1')

  expect(next.digest).toBe(image.manifest.digest)
  expect(site.upstream.count({ kind: 'blob', digest: layer.digest, method: 'GET' })).toBe(1)
  // What was proven by a finished extent is kept; what came after it may have to come again.
  expect(site.upstream.blobBytes(layer.digest)).toBeLessThanOrEqual(layer.bytes.length - landed + 8 * MiB)
  expect(await storedDigests(site.edge.data)).toContain(layer.digest)
  expect(await partsIn(site.edge.data)).toEqual([])
})

test('killed at any moment of any pull, it comes back with nothing wrong', {
  timeout: (soakSeconds + 180) * 1000,
}, async () => {
  await using site = await startSite({ env: { OUTPORT_DURABILITY: 'fast' } })

  await soak(6, async (chance, at) => {
    const tag = `r${at}`
    const sizes = [1 + chance.below(3 * MiB), 1 + chance.below(9 * MiB), 1 + chance.below(64)] as const
    const image = buildImage({
      layers: sizes,
      seed: `${chance.below(1e9)}`,
      compression: chance.pick(['gzip', 'none']),
    })
    site.upstream.addImage(repository, tag, image)
    using throttle = site.upstream.fault({
      on: { kind: 'blob' },
      bytesPerSecond: chance.pick([20e6, 100e6, 1e9]),
    })
    const killAfter = chance.below(sizes[0] + sizes[1])
    const clients = [0, 1, 2].map(() => pull(site.edge.url, repository, tag))
    const settled = Promise.allSettled(clients)
    await Promise.race([settled, sent(() => site.upstream.blobBytes() >= killAfter)])

    await site.edge.kill()
    for (const outcome of await settled) {
      if (outcome.status === 'rejected') expect(String(outcome.reason)).not.toMatch(/wrong bytes|bytes, not/)
    }
    throttle[Symbol.dispose]()
    await site.edge.restart()

    expect((await pull(site.edge.url, repository, tag)).digest).toBe(image.manifest.digest)
    await storedDigests(site.edge.data)
    expect((await partsIn(site.edge.data)).filter((name) => name.endsWith('.part'))).toEqual([])
    site.upstream.clear()
  })
})

async function sent(isEnough: () => boolean): Promise<void> {
  await expect.poll(isEnough, { timeout: 30_000, interval: 1 }).toBe(true)
}
