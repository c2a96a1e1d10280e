import { Agent } from 'node:http'
import { describe, expect, test } from 'vitest'
import { type Fetched, type FetchOptions, fetchBlob } from '../support/fetch-blob.ts'
import { line } from '../support/line.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'
import { attempt, type FaultSite, repository, type SiteOptions, startSite } from './support/site.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const size = 1_000_000
const half = size / 2
const blobGet = { kind: 'blob', method: 'GET' } as const
/** With the whole of 127.0.0.0/8 on this machine, a client has the address it likes. */
const client = (address: string) => ({ agent: new Agent({ localAddress: address }) })

interface Limits {
  all: number
  perUpstream: number
  perClient: number
}

function withLimits(fills: Limits, more: readonly object[] = []): SiteOptions['policy'] {
  return { more: [{ kind: 'cache', fills }, ...more] }
}

function addBlobs(upstream: Upstream, count: number, name = repository): string[] {
  return Array.from({ length: count }, (_, at) =>
    upstream.addBlob(name, pseudoRandomBytes(size, `${name} ${at}`)),
  )
}

function ask(site: FaultSite, digest: string, options?: FetchOptions): Promise<Fetched> {
  return site.ask(`blobs/${digest}`, { keep: false, signal: AbortSignal.timeout(15_000), ...options })
}

async function expectAllKept(site: FaultSite, digests: readonly string[]): Promise<void> {
  await expect.poll(() => site.edge.metrics('outport_fills'), { timeout: 15_000 }).toBe(0)
  expect((await storedDigests(site.edge.data)).sort()).toEqual(expect.arrayContaining([...digests].sort()))
  expect(await partsIn(site.edge.data)).toEqual([])
  for (const digest of digests) expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(size * 1.01)
}

describe('upstream never sends more blobs at once than', () => {
  test.each([
    ['all', { all: 3, perUpstream: 32, perClient: 32 }],
    ['perUpstream', { all: 32, perUpstream: 3, perClient: 32 }],
  ])('%s allows, and every one comes', async (_, limits) => {
    const upstream = { line: line({ bytesPerSecond: 20_000_000 }) }
    await using site = await startSite({ upstream, policy: withLimits(limits) })
    const digests = addBlobs(site.upstream, 15)

    const answers = await Promise.all(
      digests.map((digest, at) => ask(site, digest, client(`127.0.0.${2 + at}`))),
    )

    expect(answers.map(({ sha256, complete }) => complete && sha256)).toEqual(digests)
    expect(site.upstream.bodies.most).toBe(3)
    await expectAllKept(site, digests)
  })

  test('there are connections, with far ranges and several at a time of one blob', async () => {
    const upstream = { line: line({ bytesPerSecond: 40_000_000 }) }
    const limits = withLimits({ all: 3, perUpstream: 3, perClient: 32 })
    const registry = { segments: 4, connections: 3 }
    await using site = await startSite({ upstream, policy: { ...limits, registry } })
    const large = pseudoRandomBytes(24_000_000, 'segments')
    const digests = ['a', 'b'].map((mark) =>
      site.upstream.addBlob(repository, Buffer.concat([large, Buffer.from(mark)])),
    )
    const headers = { range: 'bytes=20000000-20100000' }

    const answers = await Promise.all(
      digests.flatMap((digest) => [ask(site, digest), ask(site, digest, { headers, keep: true })]),
    )

    for (const [at, { status, complete, sha256, body }] of answers.entries()) {
      if (status === 200) expect([complete, sha256]).toEqual([true, digests[at >> 1]])
      else expect([status, body.equals(large.subarray(20_000_000, 20_100_001))]).toEqual([206, true])
    }
    expect(site.upstream.bodies.most).toBeLessThanOrEqual(3)
  })

  test('all allows, though two upstreams share it', async () => {
    await using other = await startUpstream()
    const more = [
      { kind: 'registry', name: 'other', type: 'docker-registry', url: other.url, ns: 'other.test' },
      { kind: 'project', name: 'other', proxy: 'other', public: true },
    ]
    await using site = await startSite({
      policy: withLimits({ all: 2, perUpstream: 2, perClient: 8 }, more),
    })
    const digests = addBlobs(site.upstream, 2)
    const [third = '', asked = ''] = addBlobs(other, 2, 'app')
    using stalled = site.upstream.fault({ on: blobGet, stallAt: half })
    const first = digests.map((digest) => ask(site, digest))
    await stalled.struck(2)

    const url = `${site.edge.url}/v2/other/app/blobs`
    const last = fetchBlob(`${url}/${third}`, { signal: AbortSignal.timeout(15_000) })
    // What a request can do at once, it has done when later ones have been to the same upstream and back.
    for (let later = 0; later < 5; later++)
      expect(await fetchBlob(`${url}/${asked}`, { method: 'HEAD' })).toMatchObject({ status: 200 })
    expect(other.count(blobGet)).toBe(0)

    stalled.release()
    expect((await Promise.all(first)).map(({ sha256 }) => sha256)).toEqual(digests)
    expect(await last).toMatchObject({ complete: true, sha256: third })
  })
})

test('a client that starts more than perClient allows waits for its own, and stops nobody else', async () => {
  await using site = await startSite({ policy: withLimits({ all: 6, perUpstream: 6, perClient: 2 }) })
  const [wanted = '', ...greedy] = addBlobs(site.upstream, 10)
  using stalled = site.upstream.fault({
    on: (request) => request.kind === 'blob' && greedy.includes(request.reference ?? ''),
    stallAt: half,
  })
  const many = greedy.map((digest) => ask(site, digest, client('127.0.0.2')))
  await stalled.struck(2)

  const other = await ask(site, wanted, client('127.0.0.3'))

  expect(other).toMatchObject({ status: 200, complete: true, sha256: wanted })
  expect(site.upstream.count(blobGet)).toBe(3)
  stalled[Symbol.dispose]()
  expect((await Promise.all(many)).map(({ complete, sha256 }) => complete && sha256)).toEqual(greedy)
  expect(site.upstream.bodies.most).toBeLessThanOrEqual(3)
  await expectAllKept(site, [wanted, ...greedy])
})

test('clients that read what one of them has begun count once', async () => {
  await using site = await startSite({ policy: withLimits({ all: 1, perUpstream: 1, perClient: 1 }) })
  const [digest = ''] = addBlobs(site.upstream, 1)
  using stalled = site.upstream.fault({ on: blobGet, stallAt: half })
  const answers = [2, 2, 3, 4].map((host) => ask(site, digest, client(`127.0.0.${host}`)))
  await stalled.struck()
  stalled.release()

  for (const answer of await Promise.all(answers))
    expect(answer).toMatchObject({ complete: true, sha256: digest })
  expect(site.upstream.count(blobGet)).toBe(1)
})

describe('with every place taken by fills whose clients have left', () => {
  const limits = { all: 2, perUpstream: 2, perClient: 2 }

  test.each([
    '127.0.0.2',
    '127.0.0.3',
  ])('a new client at %s is served at once, and none of them is lost', async (address) => {
    await using site = await startSite({ policy: withLimits(limits) })
    const [wanted = '', ...left] = addBlobs(site.upstream, 3)
    using stalled = site.upstream.fault({ on: blobGet, stallAt: half })
    await beginAndLeave(site, left, () => stalled.struck(2))

    const live = ask(site, wanted, client(address))

    await stalled.struck(3)
    await expect.poll(() => site.upstream.bodies.now, { message: 'bodies at once' }).toBe(2)
    stalled[Symbol.dispose]()
    expect(await live).toMatchObject({ status: 200, complete: true, sha256: wanted })
    await expectAllKept(site, [wanted, ...left])
  })

  test('a client that comes back to one of them is served, too', async () => {
    await using site = await startSite({ policy: withLimits(limits) })
    const [wanted = '', other = '', ...left] = addBlobs(site.upstream, 4)
    using stalled = site.upstream.fault({ on: blobGet, times: 2, stallAt: half })
    await beginAndLeave(site, left, () => stalled.struck(2))
    const live = await Promise.all([wanted, other].map((digest) => ask(site, digest, client('127.0.0.3'))))
    expect(live.map(({ complete, sha256 }) => complete && sha256)).toEqual([wanted, other])

    const [first = ''] = left
    const back = ask(site, first, client('127.0.0.4'))
    stalled[Symbol.dispose]()

    expect(await back).toMatchObject({ status: 200, complete: true, sha256: first })
    await expectAllKept(site, [wanted, other, ...left])
  })
})

/** Clients that hang up once `begun` says that their blobs are under way. */
async function beginAndLeave(
  site: FaultSite,
  digests: readonly string[],
  begun: () => Promise<void>,
): Promise<void> {
  const leaving = new AbortController()
  const clients = digests.map((digest) =>
    attempt(ask(site, digest, { ...client('127.0.0.2'), signal: leaving.signal })),
  )
  await begun()
  leaving.abort()
  await Promise.allSettled(clients)
}
