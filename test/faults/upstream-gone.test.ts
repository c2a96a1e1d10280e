import { expect, test } from 'vitest'
import { buildImage, buildIndex } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { type FaultSite, neverFresh, repository, startSite } from './support/site.ts'
import { soak, soakSeconds } from './support/soak.ts'

const amd64 = buildImage({ layers: [40_000, 50_000] })
const index = buildIndex([{ image: amd64 }, { image: buildImage({ layers: [1], platform: 'linux/arm64' }) }])
const pulls = 25

async function startFilled(): Promise<FaultSite> {
  const site = await startSite({ policy: { project: neverFresh } })
  site.upstream.addImage(repository, '1', index)
  await pull(site.edge.url, repository, '1')
  return site
}

async function expectEveryPull(site: FaultSite): Promise<void> {
  for (let at = 0; at < pulls; at++) {
    const byTag = await pull(site.edge.url, repository, '1')
    const byDigest = await pull(site.edge.url, repository, index.manifest.digest)
    expect([byTag.digest, byDigest.digest]).toEqual([index.manifest.digest, index.manifest.digest])
  }
  const tag = await site.askTag('1')
  expect(tag.headers.warning).toMatch(/^299 /)
}

test('with upstream gone every pull of what is here works, by tag and by digest', async () => {
  await using site = await startFilled()

  await site.upstream.stop()

  await expectEveryPull(site)
})

test('an edge that starts while upstream is gone serves what it has', async () => {
  await using site = await startFilled()
  await site.upstream.stop()

  await site.edge.restart()

  await expectEveryPull(site)
})

test('what a client has got is still here after a kill in the same moment, with upstream gone', {
  timeout: (soakSeconds + 60) * 1000,
}, async () => {
  await using site = await startSite({ policy: { project: neverFresh } })

  await soak(8, async (chance) => {
    const image = buildImage({
      layers: [1 + chance.below(50_000), 1 + chance.below(50_000)],
      seed: `${chance.below(1e9)}`,
    })
    site.upstream.addImage(repository, '1', image)
    await pull(site.edge.url, repository, image.manifest.digest)

    await site.edge.kill()
    await site.upstream.stop()
    await site.edge.restart()

    expect((await pull(site.edge.url, repository, image.manifest.digest)).digest).toBe(image.manifest.digest)
    await site.upstream.restart()
  })
})

test('what is not here is 503 in OCI JSON while upstream is gone, and works when it is back', async () => {
  await using site = await startFilled()
  const cold = buildImage({ layers: [1000], seed: 'cold' })
  site.upstream.addImage(repository, '2', cold)
  await site.upstream.stop()

  const { status, body } = await site.askTag('2')

  expect(status).toBe(503)
  expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
  await site.upstream.restart()
  await expect.poll(() => site.askTag('2'), { timeout: 6000 }).toMatchObject({ status: 200 })
  expect((await pull(site.edge.url, repository, '2')).digest).toBe(cold.manifest.digest)
  expect((await site.askTag('1')).headers).not.toHaveProperty('warning')
})
