import { describe, expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import type { FaultEffects } from '../support/upstream.ts'
import { attempt, isWhole, layerOf, startSite } from './support/site.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const image = buildImage({ layers: [3_000_000] })
const layer = layerOf(image)
const size = layer.bytes.length
const blobGet = { kind: 'blob', method: 'GET' } as const
const places = {
  'before the first byte': 0,
  'after one byte': 1,
  'in the middle': size >> 1,
  'at 99 %': Math.floor(size * 0.99),
  'before the last byte': size - 1,
}

describe('a client does not notice that upstream', () => {
  for (const [where, at] of Object.entries(places)) {
    test(`ends the connection ${where}; no byte is fetched twice`, async () => {
      await using site = await startSite({ image })
      site.upstream.fault({ on: blobGet, times: 1, truncateAt: at })

      const answer = await site.askBlob(layer)

      expect(answer).toMatchObject({ status: 200, complete: true, bytes: size, sha256: layer.digest })
      expect(site.upstream.blobBytes(layer.digest)).toBe(size)
      const [, again] = site.upstream.requests
      if (at > 0)
        expect(again?.headers).toMatchObject({ range: `bytes=${at}-`, 'if-range': `"${layer.digest}"` })
    })

    test(`resets the connection ${where}`, async () => {
      await using site = await startSite({ image })
      site.upstream.fault({ on: blobGet, times: 1, resetAt: at })

      const answer = await site.askBlob(layer)

      expect(answer).toMatchObject({ status: 200, complete: true, bytes: size, sha256: layer.digest })
      expect(site.upstream.count(blobGet)).toBe(2)
    })
  }

  for (const effects of [{ truncateAt: 400_000 }, { resetAt: 400_000 }] satisfies FaultEffects[]) {
    test(`breaks every connection, as long as each brings something: ${Object.keys(effects)}`, async () => {
      await using site = await startSite({ image })
      site.upstream.fault({ on: blobGet, ...effects })

      const answer = await site.askBlob(layer)

      expect(answer).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
      expect(await storedDigests(site.edge.data)).toContain(layer.digest)
    })
  }

  test('goes on from another place than was asked for', async () => {
    await using site = await startSite({ image })
    site.upstream.fault({ on: blobGet, times: 1, truncateAt: 1_000_000 })
    site.upstream.fault({ on: blobGet, times: 1, ignoreRange: true })

    expect(await site.askBlob(layer)).toMatchObject({ complete: true, sha256: layer.digest })
  })
})

test('an upstream that brings nothing is given up after a few tries, and the next request starts anew', async () => {
  await using site = await startSite({ image })
  const fault = site.upstream.fault({ on: blobGet, truncateAt: 0 })

  const given = await attempt(site.askBlob(layer))
  const tries = site.upstream.count(blobGet)
  fault[Symbol.dispose]()
  const next = await site.askBlob(layer)

  expect(isWhole(given)).toBe(false)
  // At once, then after one, two and four seconds.
  expect(tries).toBe(4)
  expect(next).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
})

test('a rest that belongs to another version of the blob is not joined to what is here', async () => {
  await using site = await startSite({ image })
  site.upstream.fault({ on: blobGet, times: 1, truncateAt: 1_000_000 })
  const other = Buffer.alloc(size, 'x')
  const fault = site.upstream.fault({
    on: blobGet,
    body: other,
    etag: '"other"',
    contentRange: `bytes 1000000-${size - 1}/${size}`,
  })

  const given = await attempt(site.askBlob(layer))
  fault[Symbol.dispose]()
  const next = await site.askBlob(layer)

  expect(isWhole(given)).toBe(false)
  expect(next).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
  expect(await storedDigests(site.edge.data)).toContain(layer.digest)
})

test('a range of a blob that lies: a wrong Content-Range is not believed', async () => {
  await using site = await startSite({ image })
  site.upstream.fault({ on: blobGet, times: 1, truncateAt: 1_000_000 })
  const fault = site.upstream.fault({ on: blobGet, contentRange: `bytes 5-${size - 1}/${size}` })

  const given = await attempt(site.askBlob(layer))
  fault[Symbol.dispose]()
  const next = await site.askBlob(layer)

  if (isWhole(given)) expect(given).toMatchObject({ sha256: layer.digest })
  expect(next).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
})

test('a download that failed and was taken up again leaves nothing beside its blob', async () => {
  await using site = await startSite({ image })
  const fault = site.upstream.fault({ on: blobGet, truncateAt: 0 })
  site.upstream.fault({ on: blobGet, times: 1, truncateAt: 1_000_000 })
  await attempt(site.askBlob(layer))
  fault[Symbol.dispose]()

  expect(await site.askBlob(layer)).toMatchObject({ complete: true, sha256: layer.digest })

  expect(await partsIn(site.edge.data)).toEqual([])
})
