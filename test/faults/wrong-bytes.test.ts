import { describe, expect, test } from 'vitest'
import { buildImage, type Content } from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import type { FaultEffects } from '../support/upstream.ts'
import { attempt, type FaultSite, isWhole, layerOf, startSite } from './support/site.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const image = buildImage({ layers: [3_000_000, 1_000_000] })
const layer = layerOf(image)
const [, another] = image.layers as [Content, Content]
const size = layer.bytes.length
const layerGet = { kind: 'blob', method: 'GET', digest: layer.digest } as const

const lies: Record<string, FaultEffects> = {
  'the first byte flipped': { flipAt: 0 },
  'a byte in the middle flipped': { flipAt: size >> 1 },
  'the last byte flipped': { flipAt: size - 1 },
  'other bytes of the same length': { body: pseudoRandomBytes(size, 'other') },
  'the bytes of another blob': { body: another.bytes },
  'something after its end': { tail: Buffer.from('tail') },
  'its first half as if it were all': { body: layer.bytes.subarray(0, size >> 1) },
  'nothing as if it were all': { body: Buffer.alloc(0) },
  'something after its end, without a length': { tail: Buffer.alloc(100_000), chunked: true },
  'its first half, without a length': { body: layer.bytes.subarray(0, size >> 1), chunked: true },
  'more than the length it states': { contentLength: size - 1 },
}

describe('no client ever has a complete answer with other bytes, and nothing of it is kept, when upstream sends', () => {
  for (const [lie, effects] of Object.entries(lies)) {
    test(lie, async () => {
      await using site = await startSite({ image })
      const fault = site.upstream.fault({ on: layerGet, ...effects })

      const answers = await Promise.all([0, 1, 2].map(() => attempt(site.askBlob(layer))))

      expect(answers.filter(isWhole)).toEqual([])
      expect(await storedDigests(site.edge.data)).not.toContain(layer.digest)
      fault[Symbol.dispose]()
      await expectRight(site)
    })
  }

  test('a flipped byte to somebody who has not asked for the manifest', async () => {
    await using site = await startSite()
    site.upstream.addImage('library/app', '1', image)
    site.upstream.fault({ on: layerGet, times: 1, flipAt: size >> 1 })

    const answer = await attempt(site.askBlob(layer))

    expect(isWhole(answer)).toBe(false)
    await expectRight(site)
  })

  test('a flipped byte behind a break that was healed', async () => {
    await using site = await startSite({ image })
    site.upstream.fault({ on: layerGet, times: 1, resetAt: size >> 1 })
    site.upstream.fault({ on: layerGet, times: 1, flipAt: size - 10 })

    const answer = await attempt(site.askBlob(layer))

    expect(isWhole(answer)).toBe(false)
    await expectRight(site)
  })
})

test('a blob with other bytes than its digest is counted as a lie of its registry', async () => {
  await using site = await startSite({ image })
  site.upstream.fault({ on: layerGet, times: 1, flipAt: 7 })

  await attempt(site.askBlob(layer))

  expect(await site.edge.metrics('outport_upstream_lies_total', { registry: 'upstream' })).toBe(1)
})

test('a range that reaches the end of a blob with a flipped byte is never complete', async () => {
  await using site = await startSite({ image })
  site.upstream.fault({ on: layerGet, times: 1, flipAt: 5 })

  const answer = await attempt(site.askBlob(layer, { headers: { range: `bytes=${size - 100}-` } }))

  expect(isWhole(answer)).toBe(false)
  await expectRight(site)
})

test('a blob whose Docker-Content-Digest lies is still the blob that its bytes are', async () => {
  await using site = await startSite({ image })
  site.upstream.fault({ on: { kind: 'blob' }, contentDigest: another.digest })

  const answer = await attempt(site.askBlob(layer))

  if (isWhole(answer)) expect(answer).toMatchObject({ sha256: layer.digest })
  else expect(answer).toMatchObject({ status: 503 })
})

const manifestLies: Record<string, FaultEffects> = {
  'with a byte flipped': { flipAt: 20 },
  'with other bytes that are JSON': { body: Buffer.from('{"schemaVersion":2}') },
  'of another image': { body: buildImage({ layers: [1], seed: 'other' }).manifest.bytes },
  'cut short': { truncateAt: 50 },
}

describe('a manifest asked for by digest is that manifest or an error, when upstream sends one', () => {
  for (const [lie, effects] of Object.entries(manifestLies)) {
    test(lie, async () => {
      await using site = await startSite()
      site.upstream.addImage('library/app', '1', image)
      const fault = site.upstream.fault({ on: { kind: 'manifest', method: 'GET' }, ...effects })

      const answer = await site.askTag(image.manifest.digest)
      fault[Symbol.dispose]()

      expect(answer.status).toBe(503)
      expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
      expect(await storedDigests(site.edge.data)).toEqual([])
      await expect
        .poll(() => site.askTag(image.manifest.digest), { timeout: 6000 })
        .toMatchObject({
          status: 200,
          body: image.manifest.bytes,
        })
    })
  }
})

/** Upstream being true again, the next client gets the blob; nothing of the lie is left. */
async function expectRight(site: FaultSite): Promise<void> {
  expect(await site.askBlob(layer)).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
  expect(await storedDigests(site.edge.data)).toContain(layer.digest)
  expect(await partsIn(site.edge.data)).toEqual([])
}
