import { Agent } from 'node:http'
import { describe, expect, test } from 'vitest'
import type { Fetched } from '../support/fetch-blob.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage, buildIndex, type Image, type ImageIndex } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { type FaultSite, isWhole, layerOf, neverFresh, repository, startSite } from './support/site.ts'

const image = buildImage({ seed: 'one', layers: [3000] })
const other = buildImage({ seed: 'other', layers: [3000] })
const large = buildImage({ seed: 'large', layers: [3_000_000] })
const policy = { project: neverFresh }
const manifests = { kind: 'manifest' } as const
const limit = { status: 429, headers: { 'retry-after': '30' } }

function said({ status, headers, complete }: Fetched) {
  return { status, complete, cache: headers['x-outport-cache'], warning: headers.warning }
}

const stale = {
  status: 200,
  complete: true,
  cache: 'stale',
  warning: expect.stringMatching(/^299 - ".*allows no more requests for now"$/),
}

/** 503 in OCI JSON that says when to come again; never 429. */
function expectUnavailable({ status, headers, body }: Fetched): void {
  expect(status).toBe(503)
  expect(Number(headers['retry-after'])).toBeGreaterThan(0)
  expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
}

/** The edge has understood that it is told to wait. */
async function cooling({ edge }: FaultSite, kind: string): Promise<void> {
  await expect
    .poll(() => edge.metrics('outport_upstream_limited_until_timestamp_seconds', { kind }))
    .toBeGreaterThan(0)
}

describe('upstream says 429', () => {
  test.each([
    ['with Retry-After', { 'retry-after': '30' }],
    ['with a date in Retry-After', { 'retry-after': new Date(Date.now() + 600_000).toUTCString() }],
    ['without Retry-After', {}],
  ])('for manifests, %s: tags that are here are served, the rest is 503', async (_, headers) => {
    await using site = await startSite({ image, policy })
    site.upstream.addImage(repository, '2', other)
    await pull(site.edge.url, repository, '1')
    site.upstream.clear()
    using _limited = site.upstream.fault({ on: manifests, status: 429, headers })

    await site.askTag('1')
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, at) => site.askTag('1', { method: at % 2 === 0 ? 'GET' : 'HEAD' })),
    )

    for (const answer of answers) expect(said(answer)).toEqual(stale)
    expect(site.upstream.count(manifests)).toBe(1)
    await cooling(site, 'manifest')
    expectUnavailable(await site.askTag('2'))
    // Where upstream does not say how long, it was asked once more within the client's patience.
    expect(site.upstream.count(manifests)).toBe('retry-after' in headers ? 1 : 2)
  })

  test('for manifests: blobs come all the same, those under way and new ones', async () => {
    await using site = await startSite({ image: large, policy })
    site.upstream.addImage(repository, '2', image)
    expect((await site.askTag('2')).status).toBe(200)
    using held = site.upstream.fault({ on: { kind: 'blob' }, times: 1, stallAt: 1_000_000 })
    const running = site.askBlob(layerOf(large))
    await held.struck()
    using _limited = site.upstream.fault({ on: manifests, ...limit })
    expect(said(await site.askTag('1'))).toEqual(stale)
    await cooling(site, 'manifest')

    expect(isWhole(await site.askBlob(layerOf(image)))).toBe(true)
    held.release()
    expect(isWhole(await running)).toBe(true)
  })

  test('for blobs: manifests come all the same, and it is not asked for blobs again', async () => {
    await using site = await startSite({ image, policy })
    site.upstream.addImage(repository, '2', other)
    using _limited = site.upstream.fault({ on: { kind: 'blob' }, ...limit })

    expectUnavailable(await site.askBlob(layerOf(image), { keep: true }))
    expect((await site.askTag('2')).status).toBe(200)
    expectUnavailable(await site.askBlob(layerOf(other), { keep: true }))
    expect(site.upstream.count({ kind: 'blob' })).toBe(1)
  })

  test('for tokens: what is here is served, and the token service is left alone', async () => {
    const auth = { service: 'registry', users: {}, expiresIn: 1, allows: () => true }
    await using site = await startSite({ image, policy, upstream: { auth } })
    await pull(site.edge.url, repository, '1')
    site.upstream.addImage(repository, '2', other)
    site.upstream.revokeTokens()
    site.upstream.clear()
    using _limited = site.upstream.fault({ on: { kind: 'token' }, ...limit })

    expect(said(await site.askTag('1'))).toEqual(stale)
    expectUnavailable(await site.askTag('2'))
    expectUnavailable(await site.askBlob(layerOf(other), { keep: true }))
    expect(said(await site.askTag('1'))).toEqual(stale)
    expect(site.upstream.count({ kind: 'token' })).toBe(1)
  })

  test('to fifty clients: it is asked once in each cool-down', async () => {
    await using site = await startSite({ policy })
    using _limited = site.upstream.fault({ on: manifests, status: 429 })

    const first = site.askTag('0')
    await cooling(site, 'manifest')
    const others = Array.from({ length: 50 }, (_, at) => site.askTag(`${at + 1}`))

    for (const answer of await Promise.all([first, ...others])) expectUnavailable(answer)
    expect(site.upstream.count(manifests)).toBe(2)
  })

  test.each([
    ['as long as it said', { 'retry-after': '3' }],
    ['without saying how long', {}],
  ])('for a moment, %s: nobody notices', async (_, headers) => {
    await using site = await startSite({ policy })
    for (let at = 0; at <= 50; at++) site.upstream.addImage(repository, `${at}`, image)
    using refusing = site.upstream.fault({ on: manifests, times: 1, status: 429, headers })

    const first = site.askTag('0')
    await refusing.struck()
    await cooling(site, 'manifest')
    const others = Array.from({ length: 50 }, (_, at) => site.askTag(`${at + 1}`))

    for (const answer of await Promise.all([first, ...others])) expect(answer.status).toBe(200)
    const [refused, next] = site.upstream.requests.filter(({ kind }) => kind === 'manifest')
    expect((next?.at ?? 0) - (refused?.at ?? 0)).toBeGreaterThan(2_990)
  })
})

describe('upstream counts', () => {
  const rateLimit = (requests: number, windowSeconds = 21_600) => ({
    upstream: { rateLimit: { requests, windowSeconds } },
  })

  test('and little is left: a tag that is here is confirmed for free, and not followed', async () => {
    // So many in so short a time that nobody waits for his share of them.
    const registry = { budget: { reserve: 1000 } }
    await using site = await startSite({ image, policy: { ...policy, registry }, ...rateLimit(1001, 60) })
    await pull(site.edge.url, repository, '1')
    expect(await site.edge.metrics('outport_upstream_budget_remaining', { kind: 'manifest' })).toBe(1000)
    expect(await site.edge.metrics('outport_upstream_budget_limit', { registry: 'upstream' })).toBe(1001)
    expect(await site.edge.metrics('outport_upstream_budget_forecast_seconds')).toBeGreaterThanOrEqual(0)
    expect((await site.askTag('1')).headers['x-outport-cache']).toBe('revalidated')
    site.upstream.clear()

    site.upstream.addImage(repository, '1', other)
    site.upstream.addImage(repository, '2', other)
    expect(said(await site.askTag('1'))).toEqual(stale)
    expect(site.upstream.count({ method: 'GET', ...manifests })).toBe(0)

    // For who has nothing else, the reserve is there; and then the tag can be followed for nothing.
    expect((await site.askTag('2')).status).toBe(200)
    expect((await site.askTag('1')).headers['docker-content-digest']).toBe(other.manifest.digest)
    expect(site.upstream.count({ method: 'GET', ...manifests })).toBe(1)
  })

  test('and nothing is left: it is not asked any more', async () => {
    await using site = await startSite({ image, policy, ...rateLimit(1) })
    site.upstream.addImage(repository, '2', other)

    expectUnavailable(await site.askTag('2'))
    expect((await site.askTag('1')).status).toBe(200)
    expect(site.upstream.count({ method: 'GET', ...manifests })).toBe(0)
  })
})

/** By docker or containerd, which ask for the tag's head first, and by podman, which does not. */
async function pullOften(site: FaultSite, names: readonly string[], times: number): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  const pulls = Array.from({ length: times }, (_, at) => at).values()
  async function work(): Promise<void> {
    for (const at of pulls) {
      // Neighbours want the same image at the same time.
      const name = names[Math.floor(at / 4) % names.length] ?? ''
      if (at % 2 === 0) {
        const answer = await fetchBlob(`${site.edge.url}/v2/${name}/manifests/latest`, { agent })
        expect(answer.status).toBe(200)
      }
      await pull(site.edge.url, name, 'latest', { agent })
    }
  }
  await Promise.all(Array.from({ length: 16 }, work))
  agent.destroy()
}

describe('a thousand pulls of eighty images from an upstream that allows a hundred in six hours', () => {
  const names = Array.from({ length: 80 }, (_, at) => `library/app${at}`)
  const images = names.map((seed) => buildImage({ seed, layers: [400] }))
  const indexes = names.map((seed, at) =>
    buildIndex([
      { image: images[at] as Image },
      { image: buildImage({ seed, layers: [300], platform: 'linux/arm64' }) },
    ]),
  )
  const children = new Set(images.map(({ manifest }) => String(manifest.digest)))

  test.each<
    [string, readonly (Image | ImageIndex)[], { counts?: (reference: string) => boolean; gets: number }]
  >([
    ['each GET of a manifest', images, { gets: 80 }],
    ['each platform of an index', indexes, { counts: (reference) => children.has(reference), gets: 160 }],
  ])(
    'of which %s is one: no error, and not one pull too many',
    async (_, content, { counts, gets }) => {
      const isCounted = ({
        kind,
        method,
        reference = '',
      }: {
        kind: string
        method: string
        reference?: string
      }) => kind === 'manifest' && method === 'GET' && (counts?.(reference) ?? true)
      await using site = await startSite({
        policy: { ...policy, registry: { type: 'docker-hub' } },
        upstream: { rateLimit: { requests: 100, windowSeconds: 21_600, counts: isCounted } },
      })
      for (const [at, name] of names.entries()) site.upstream.addImage(name, 'latest', content[at] as Image)

      await pullOften(site, names, 1000)

      expect(site.upstream.count(isCounted)).toBe(80)
      expect(site.upstream.count({ kind: 'manifest', method: 'GET' })).toBe(gets)
      expect(await site.edge.metrics('outport_upstream_budget_remaining')).toBe(20)
    },
    120_000,
  )
})
