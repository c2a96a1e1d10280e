import { describe, expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import type { FaultEffects } from '../support/upstream.ts'
import { isWhole, layerOf, repository, startSite } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const layers = Array.from({ length: 20 }, (_, at) => 10_000 + at)
const image = buildImage({ layers })
const layer = layerOf(image)

const odd: Record<string, FaultEffects> = {
  'chunks without a length': { chunked: true },
  'HTTP/1.0, its end the end of the connection': { http10: true },
  'an interim 102': { informational: 102 },
  'early hints': { informational: 103 },
  'its connection closed behind an answer that promised to keep it': { closeAfter: true },
}

describe('a whole image comes through right when upstream answers everything with', () => {
  for (const [oddity, effects] of Object.entries(odd)) {
    test(oddity, async () => {
      await using site = await startSite()
      site.upstream.addImage(repository, '1', image)
      site.upstream.fault({ on: () => true, ...effects })

      const manifest = await site.askTag('1')
      expect(manifest).toMatchObject({ status: 200, body: image.manifest.bytes })
      for (const blob of [image.config, ...image.layers]) {
        expect(await site.askBlob(blob)).toMatchObject({ status: 200, complete: true, sha256: blob.digest })
      }
    })
  }
})

test('a 100 that nobody asked for is passed over or an error, and heals', async () => {
  await using site = await startSite({ image })
  const fault = site.upstream.fault({ on: { kind: 'blob' }, informational: 100 })

  const answer = await site.askBlob(layer)

  if (answer.status !== 503) expect(answer).toMatchObject({ status: 200, sha256: layer.digest })
  fault[Symbol.dispose]()
  await expect
    .poll(() => site.askBlob(layer), { timeout: 6000 })
    .toMatchObject({ status: 200, complete: true, sha256: layer.digest })
})

test('a body that upstream compressed unasked is decoded or refused, and the blob is right afterwards', async () => {
  await using site = await startSite({ image })
  const fault = site.upstream.fault({ on: { kind: 'blob' }, gzip: true })

  const answer = await site.askBlob(layer)

  expect(site.upstream.requests[0]?.headers['accept-encoding']).toBe('identity')
  if (isWhole(answer)) expect(answer.sha256).toBe(layer.digest)
  else expect(answer.status).toBe(503)
  expect(answer.headers).not.toHaveProperty('content-encoding')
  fault[Symbol.dispose]()
  await expect
    .poll(() => site.askBlob(layer), { timeout: 6000 })
    .toMatchObject({ status: 200, complete: true, sha256: layer.digest })
  expect(await storedDigests(site.edge.data)).toContain(layer.digest)
})

test('a manifest that upstream compressed unasked is itself or an error', async () => {
  await using site = await startSite()
  site.upstream.addImage(repository, '1', image)
  site.upstream.fault({ on: { kind: 'manifest' }, gzip: true })

  const { status, body, headers } = await site.askTag('1')

  expect(headers).not.toHaveProperty('content-encoding')
  if (status === 200) expect(body).toEqual(image.manifest.bytes)
  else expect(status).toBe(503)
})
