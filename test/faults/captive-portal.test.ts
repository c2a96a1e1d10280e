import { expect, test } from 'vitest'
import type { Fetched } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { layerOf, neverFresh, repository, startSite } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const image = buildImage({ layers: [50_000] })
const layer = layerOf(image)
const everything = () => true

function expectUnavailable(answer: Fetched): void {
  expect(answer.status).toBe(503)
  expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
}

test('a login page in front of upstream is never taken for a manifest, a blob or a list', async () => {
  await using site = await startSite()
  site.upstream.addImage(repository, '1', image)
  const portal = site.upstream.fault({ on: everything, html: true })

  expectUnavailable(await site.askTag('1'))
  expectUnavailable(await site.askTag(image.manifest.digest))
  expectUnavailable(await site.askBlob(layer, { keep: true }))
  expectUnavailable(await site.ask('tags/list'))

  expect((await site.askTag('1', { method: 'HEAD' })).status).toBe(503)
  expect(await storedDigests(site.edge.data)).toEqual([])
  expect(await site.edge.metrics('outport_upstream_lies_total')).toBeGreaterThan(0)
  portal[Symbol.dispose]()
  await expect.poll(() => site.askTag('1'), { timeout: 6000 }).toMatchObject({ status: 200 })
  expect(await site.askBlob(layer)).toMatchObject({ status: 200, sha256: layer.digest })
})

test('behind a login page the tags that are here are served with a warning, and their blobs as ever', async () => {
  await using site = await startSite({ image, policy: { project: neverFresh } })
  await site.askBlob(layer)
  for (const blob of [image.config]) await site.askBlob(blob)
  site.upstream.fault({ on: everything, html: true })

  const tag = await site.askTag('1')

  expect(tag).toMatchObject({ status: 200, body: image.manifest.bytes })
  expect(tag.headers.warning).toMatch(/^299 /)
  expect(await site.askBlob(layer)).toMatchObject({ status: 200, sha256: layer.digest })
})

test('a login page instead of a token is no token', async () => {
  const auth = { service: 'registry.test', users: {}, allows: () => true }
  await using site = await startSite({ upstream: { auth } })
  site.upstream.addImage(repository, '1', image)
  const portal = site.upstream.fault({ on: { kind: 'token' }, html: true })

  expectUnavailable(await site.askTag('1'))

  portal[Symbol.dispose]()
  await expect.poll(() => site.askTag('1'), { timeout: 6000 }).toMatchObject({ status: 200 })
})
