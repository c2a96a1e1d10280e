import { expect, test } from 'vitest'
import { blobBytesOf, buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import type { SeenRequest } from '../support/upstream.ts'
import { layerOf, neverFresh, repository, startSite } from './support/site.ts'
import { soak } from './support/soak.ts'
import { storedDigests } from './support/stored.ts'

/** More would be an upstream that is down: each of them keeps it from being asked for seconds. */
const mostInARow = 7

const image = buildImage({ layers: [400_000] })
const cold = buildImage({ layers: [500_000, 300_000], seed: 'cold' })

test.each([
  500, 502, 503, 504,
])('a burst of %i: what is here is served, upstream is spared, and then all is well', async (status) => {
  await using site = await startSite({ image, policy: { project: neverFresh } })
  await pull(site.edge.url, repository, '1')
  site.upstream.addImage(repository, '2', cold)
  const burst = site.upstream.fault({ on: () => true, status })
  site.upstream.clear()

  const asked = 40
  for (let at = 0; at < asked; at++) {
    const kept = await site.askTag('1')
    expect([kept.status, kept.headers['docker-content-digest']]).toEqual([200, image.manifest.digest])
    expect(kept.headers.warning).toMatch(/^299 /)
    const refused = await site.askTag(`new${at}`)
    expect([refused.status, JSON.parse(refused.body.toString()).errors[0].code]).toEqual([503, 'UNAVAILABLE'])
  }

  expect(site.upstream.requests.length).toBeLessThan(asked)
  expect(await site.edge.metrics('outport_upstream_requests_total', { outcome: 'down' })).toBeGreaterThan(0)
  burst[Symbol.dispose]()
  await expect.poll(() => site.askTag('2')).toMatchObject({ status: 200 })
  expect((await pull(site.edge.url, repository, '2')).digest).toBe(cold.manifest.digest)
  await expect.poll(async () => (await site.askTag('1')).headers).not.toHaveProperty('warning')
})

test('a layer that has begun is not cut by answers that fail in its middle', async () => {
  await using site = await startSite({ image })
  const layer = layerOf(image)
  const on = { kind: 'blob', digest: layer.digest } as const
  site.upstream.fault({ on, times: 1, truncateAt: 150_000 })
  for (const status of [500, 502, 503]) site.upstream.fault({ on, times: 1, status })

  expect(await site.askBlob(layer)).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
  expect(site.upstream.count({ ...on, method: 'GET' })).toBe(5)
  const good = site.upstream.requests.filter(({ status = 0 }) => status < 300)
  expect(good.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)).toBe(layer.bytes.length)
})

test('with every other answer failing, images come to those who ask again, and no byte twice', async () => {
  await using site = await startSite({ image, policy: { project: neverFresh } })
  await pull(site.edge.url, repository, '1')

  await soak(2, async (chance, at) => {
    const next = buildImage({ layers: [500_000, 300_000], seed: `half ${at}` })
    const tag = `half${at}`
    site.upstream.addImage(repository, tag, next)
    site.upstream.clear()
    const unlucky = new WeakMap<SeenRequest, boolean>()
    let inARow = 0
    const isUnlucky = (request: SeenRequest) => {
      const fails = unlucky.get(request) ?? (inARow < mostInARow && chance.below(2) === 0)
      if (!unlucky.has(request)) inARow = fails ? inARow + 1 : 0
      unlucky.set(request, fails)
      return fails
    }
    using _faults = site.upstream.fault({ on: isUnlucky, status: chance.pick([500, 502, 503, 504]) })

    const digestOf = () => pull(site.edge.url, repository, tag).then(({ digest }) => digest)
    await expect.poll(() => digestOf().catch(String), { timeout: 20_000 }).toBe(next.manifest.digest)
    expect((await pull(site.edge.url, repository, '1')).digest).toBe(image.manifest.digest)
    const bytes = site.upstream.requests
      .filter((request) => request.kind === 'blob' && unlucky.get(request) !== true)
      .reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)
    expect(bytes).toBeLessThanOrEqual(1.01 * blobBytesOf(next))
  })
  await storedDigests(site.edge.data)
}, 60_000)
