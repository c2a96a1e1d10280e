import { describe, expect, test } from 'vitest'
import { responseTo } from '../support/fetch-blob.ts'
import { buildImage, type Content } from '../support/images.ts'
import { layerOf, repository, startSite } from './support/site.ts'

const image = buildImage({ layers: [1_000_000, 2_000_000] })
const layer = layerOf(image)
const [, other] = image.layers as [Content, Content]
const size = layer.bytes.length
const layerGet = { kind: 'blob', method: 'GET', digest: layer.digest } as const
const impatient = { registry: { timeouts: { head: '1s', idle: '1s' } } }

describe('a client does not notice that upstream falls silent', () => {
  for (const [where, at] of Object.entries({
    'after the head': 0,
    'in the middle': size >> 1,
    'at the last byte': size - 1,
  })) {
    test(`${where}: the rest comes over another connection`, async () => {
      await using site = await startSite({ image, policy: impatient })
      using _stall = site.upstream.fault({ on: layerGet, times: 1, stallAt: at })

      const answer = await site.askBlob(layer)

      expect(answer).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
      const [first, second] = site.upstream.requests.filter(({ kind }) => kind === 'blob')
      expect(second?.connection).not.toBe(first?.connection)
      expect(site.upstream.blobBytes(layer.digest)).toBe(size)
    })
  }
})

describe('the head is there as soon as upstream has said it', () => {
  for (const [what, headers] of Object.entries({ 'a blob': {}, 'its last bytes': { range: 'bytes=-100' } })) {
    test(`although of ${what} nothing has come yet`, async () => {
      await using site = await startSite({ image })
      using stall = site.upstream.fault({ on: layerGet, stallAt: 0 })
      const url = `${site.edge.url}/v2/${repository}/blobs/${layer.digest}`

      const response = await responseTo(url, { headers, signal: AbortSignal.timeout(10_000) })

      expect(response.statusCode).toBe('range' in headers ? 206 : 200)
      expect(stall.hits).toBe(1)
      response.destroy()
    })
  }
})

test('a blob that does not move holds up no other', async () => {
  await using site = await startSite({ image })
  using stall = site.upstream.fault({ on: layerGet, stallAt: 1000 })
  let isOver = false
  const slow = site.askBlob(layer).finally(() => {
    isOver = true
  })
  await stall.struck()

  const meanwhile = await site.askBlob(other)

  expect(meanwhile).toMatchObject({ complete: true, sha256: other.digest })
  expect(isOver).toBe(false)
  stall.release()
  expect(await slow).toMatchObject({ complete: true, sha256: layer.digest })
})

test('a trickle may take longer than the idle deadline: there is no deadline for the whole', async () => {
  const small = buildImage({ layers: [6_000], seed: 'small' })
  await using site = await startSite({ image: small, policy: impatient })
  site.upstream.fault({ on: { kind: 'blob' }, bytesPerSecond: 4_000 })

  const answer = await site.askBlob(layerOf(small))

  expect(answer).toMatchObject({ status: 200, complete: true, sha256: layerOf(small).digest })
  expect(answer.ms).toBeGreaterThan(1000)
  expect(site.upstream.count({ kind: 'blob', method: 'GET' })).toBe(1)
})

test('an upstream that gives no status is answered for with 503, before the client gives up', async () => {
  await using site = await startSite({ image, policy: impatient })
  using _stall = site.upstream.fault({ on: { kind: 'blob' }, stallBeforeStatus: true })

  const { status, body } = await site.askBlob(layer, { keep: true })

  expect(status).toBe(503)
  expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
})
