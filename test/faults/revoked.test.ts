import { describe, expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import { layerOf, neverFresh, repository, startSite } from './support/site.ts'

const image = buildImage({ layers: [1000, 2000, 3000, 4000] })
const layer = layerOf(image)
const tagged = { kind: 'manifest', reference: '1' } as const
const auth = { service: 'registry.test', users: { ann: 'secret' } }
const login = {
  registry: { credential: { username: 'ann', password: { env: 'UPSTREAM_PASSWORD' } } },
  project: { public: ['library/**'] },
}
const env = { UPSTREAM_PASSWORD: 'secret' }

test('a token that expires in the middle of a pull is renewed once, and no client notices', async () => {
  await using site = await startSite({ image, upstream: { auth }, policy: login, env })
  site.upstream.revokeTokens()

  const answers = await Promise.all([image.config, ...image.layers].map((blob) => site.askBlob(blob)))

  expect(answers.map(({ status, sha256 }) => [status, sha256])).toEqual(
    [image.config, ...image.layers].map(({ digest }) => [200, digest]),
  )
  expect(site.upstream.count({ kind: 'token' })).toBe(1)
})

test('an upstream that takes no token at all is not asked for ever', async () => {
  await using site = await startSite({
    upstream: { auth: { ...auth, allows: () => false } },
    policy: login,
    env,
  })
  site.upstream.addImage(repository, '1', image)

  const { status, body } = await site.askTag('1')

  expect(status).toBe(404)
  expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'MANIFEST_UNKNOWN' }] })
  expect(site.upstream.requests.length).toBeLessThanOrEqual(4)
})

describe('a tag that is here is not served while upstream answers for it', () => {
  for (const status of [401, 403, 404, 410]) {
    test(`${status}; nothing is deleted, and it comes back when upstream says yes`, {
      timeout: 40_000,
    }, async () => {
      await using site = await startSite({ image, policy: { project: neverFresh } })
      await site.askBlob(layer)
      site.upstream.clear()
      const fault = site.upstream.fault({ on: tagged, status })

      const head = await site.askTag('1', { method: 'HEAD' })
      const get = await site.askTag('1')

      expect([head.status, get.status]).toEqual([404, 404])
      expect(await site.askTag(image.manifest.digest)).toMatchObject({
        status: 200,
        body: image.manifest.bytes,
      })
      fault[Symbol.dispose]()
      await expect
        .poll(() => site.askTag('1'), { timeout: 30_000, interval: 500 })
        .toMatchObject({ status: 200 })
      expect(await site.askBlob(layer)).toMatchObject({ status: 200, sha256: layer.digest })
      expect(site.upstream.blobBytes()).toBe(0)
    })
  }
})

test('where the rules allow it, a tag that upstream has no more is served with a warning; a refusal never is', async () => {
  const stale = { when: 'not-found', for: '1d' }
  await using site = await startSite({ image, policy: { project: { ...neverFresh, stale } } })
  const gone = site.upstream.fault({ on: tagged, status: 404 })

  const kept = await site.askTag('1')
  gone[Symbol.dispose]()

  expect(kept).toMatchObject({ status: 200, body: image.manifest.bytes })
  expect(kept.headers.warning).toMatch(/^299 /)
  site.upstream.fault({ on: tagged, status: 403 })
  await expect.poll(() => site.askTag('1'), { timeout: 20_000, interval: 500 }).toMatchObject({ status: 404 })
})
