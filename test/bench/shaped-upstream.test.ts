import { expect, onTestFinished, test } from 'vitest'
import { readBlob } from '../../bench/support/read-blob.ts'
import {
  imageOf,
  type ShapedUpstream,
  startShapedUpstream,
  type UpstreamPlan,
} from '../../bench/support/shaped-upstream.ts'
import { fetchBlob } from '../support/fetch-blob.ts'

const { signal } = new AbortController()
const image = { repository: 'bench/blob', tag: '1', layers: [400_000] }
const made = imageOf(image)
const [layer = made.config] = made.layers

async function start(plan: Omit<UpstreamPlan, 'images'>): Promise<ShapedUpstream> {
  const upstream = await startShapedUpstream({ images: [image], ...plan }, signal)
  onTestFinished(() => upstream[Symbol.asyncDispose]())
  return upstream
}

const blobUrl = ({ url }: ShapedUpstream) => `${url}/v2/${image.repository}/blobs/${layer.digest}`
const manifestUrl = ({ url }: ShapedUpstream) => `${url}/v2/${image.repository}/manifests/${image.tag}`

test('it has the very bytes that another process makes of the plan, and counts them', async () => {
  const upstream = await start({})

  expect(await readBlob(blobUrl(upstream), { blob: layer.bytes }, signal)).toMatchObject({ complete: true })
  expect(await upstream.count(signal)).toMatchObject({ blobBytes: layer.bytes.length, pulls: 0 })

  await upstream.renew(signal)
  expect(await upstream.count(signal)).toMatchObject({ blobBytes: 0 })
})

test('it resets so many answers as planned, and as many again when it is renewed', async () => {
  const upstream = await start({ resets: { times: 1, afterBytes: 100_000 } })
  const read = () => readBlob(blobUrl(upstream), { blob: layer.bytes }, signal)

  for (let round = 0; round < 2; round++) {
    expect(await read()).toMatchObject({ bytes: 100_000, complete: false })
    expect(await read()).toMatchObject({ complete: true })
    await upstream.renew(signal)
  }
})

test('beyond its limit a GET of a manifest is refused, says until when, and a HEAD costs nothing', async () => {
  const upstream = await start({ pullLimit: 2 })
  const ask = (method: string) => fetchBlob(manifestUrl(upstream), { method })

  expect((await ask('HEAD')).headers['ratelimit-remaining']).toBe('2;w=21600')
  expect((await ask('GET')).headers['ratelimit-remaining']).toBe('1;w=21600')
  expect((await ask('GET')).status).toBe(200)
  expect(await ask('GET')).toMatchObject({ status: 429, headers: { 'retry-after': '21600' } })
  expect(await upstream.count(signal)).toMatchObject({ pulls: 2, refusedPulls: 1, manifestRequests: 4 })

  await upstream.renew(signal)
  expect((await ask('GET')).status).toBe(200)
})
