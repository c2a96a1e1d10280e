import { expect, test } from 'vitest'
import { buildImage, type Content } from '../support/images.ts'
import { layerOf, repository, startSite } from './support/site.ts'

const image = buildImage({ layers: [20_000, 30_000] })
const layer = layerOf(image)
const [, other] = image.layers as [Content, Content]

test('a blob that upstream lost before it was fetched is 404, its image goes on, and it heals when it is back', async () => {
  await using site = await startSite({ image })
  site.upstream.removeBlob(layer.digest)

  const lost = await site.askBlob(layer, { keep: true })

  expect(lost.status).toBe(404)
  expect(JSON.parse(lost.body.toString())).toMatchObject({ errors: [{ code: 'BLOB_UNKNOWN' }] })
  expect((await site.askBlob(layer, { method: 'HEAD' })).status).toBe(404)
  expect(await site.askBlob(other)).toMatchObject({ status: 200, sha256: other.digest })
  expect(await site.askTag('1')).toMatchObject({ status: 200 })
  site.upstream.addImage(repository, '1', image)
  await expect
    .poll(() => site.askBlob(layer), { timeout: 25_000, interval: 500 })
    .toMatchObject({ status: 200, sha256: layer.digest })
})

test('a blob that upstream loses in the middle of its download is cut, not completed, and heals', async () => {
  await using site = await startSite({ image })
  site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, times: 1, truncateAt: 10_000 })
  using gone = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, status: 404 })

  const cut = await site.askBlob(layer)

  expect(cut.complete).toBe(false)
  expect(cut.bytes).toBeLessThanOrEqual(10_000)
  gone[Symbol.dispose]()
  await expect
    .poll(() => site.askBlob(layer), { timeout: 25_000, interval: 500 })
    .toMatchObject({ status: 200, sha256: layer.digest })
})
