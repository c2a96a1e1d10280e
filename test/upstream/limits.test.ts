import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { days } from '../../src/flow/calendar.ts'
import type { RegistrySettings } from '../../src/upstream/registry-client.ts'
import {
  blob,
  blobDigest,
  failureOf,
  type Handler,
  never,
  type Recorder,
  repository,
  sendManifest,
  settingsFor,
  startClient,
  startServer,
  type TestClient,
  tag,
} from './server.ts'

const whole = { offset: 0 }

const registry: Handler = (request, response) => {
  if (request.url?.includes('/manifests/')) return sendManifest(response)
  if (request.url?.includes('/tags/')) return void response.end('{"tags":["1"]}')
  if (request.url?.includes('/token')) return void response.end('{"token":"t","expires_in":1}')
  response.end(blob)
}

const ways = {
  manifest: (client: TestClient) => client.getManifest(repository, tag, never()),
  head: (client: TestClient) => client.headManifest(repository, tag, never()),
  blob: async (client: TestClient) =>
    buffer((await client.openBlob(repository, blobDigest, whole, never())).body),
  tags: (client: TestClient) => client.listTags(repository, {}, never()),
}

function limiting(isLimited: (request: IncomingMessage) => boolean): Handler {
  return (request, response) => {
    if (isLimited(request)) response.writeHead(429, { 'retry-after': '30' }).end()
    else registry(request, response)
  }
}

async function outcomes(client: TestClient): Promise<Record<string, string>> {
  const said = Object.entries(ways).map(async ([name, way]) => [
    name,
    await way(client).then(
      () => 'ok',
      ({ kind }) => kind,
    ),
  ])
  return Object.fromEntries(await Promise.all(said))
}

describe('429', () => {
  test('on manifests stops neither blobs nor lists', async () => {
    await using upstream = await startServer(limiting(({ url }) => url?.includes('/manifests/') ?? false))
    await using client = startClient(settingsFor(upstream.url))
    await failureOf(ways.manifest(client))
    expect(client.limits()).toEqual([{ kind: 'manifest', limitedForMs: expect.any(Number) }])
    expect(await outcomes(client)).toEqual({ manifest: 'limited', head: 'limited', blob: 'ok', tags: 'ok' })
    expect(upstream.requests.filter(({ url }) => url?.includes('/manifests/'))).toHaveLength(1)
  })

  test('on blobs does not stop manifests, nor a blob that flows', async () => {
    let isFull = false
    const first = Promise.withResolvers<ServerResponse>()
    await using upstream = await startServer((request, response) => {
      if (!request.url?.includes('/blobs/')) return registry(request, response)
      if (isFull) return void response.writeHead(429, { 'retry-after': '30' }).end()
      response.writeHead(200, { 'content-length': blob.length }).write(blob.subarray(0, 4))
      first.resolve(response)
    })
    await using client = startClient(settingsFor(upstream.url))
    const { body } = await client.openBlob(repository, blobDigest, whole, never())
    isFull = true
    await failureOf(ways.blob(client))
    expect(await outcomes(client)).toEqual({ manifest: 'ok', head: 'ok', blob: 'limited', tags: 'ok' })
    ;(await first.promise).end(blob.subarray(4))
    expect(await buffer(body)).toEqual(blob)
  })

  test('on tokens stops all of them', async () => {
    await using upstream = await startServer((request, response) => {
      if (request.url?.includes('/token')) {
        response.writeHead(429, { 'retry-after': '30' }).end()
      } else {
        const realm = `Bearer realm="http://${request.headers.host}/token",service="x"`
        response.writeHead(401, { 'www-authenticate': realm }).end()
      }
    })
    await using client = startClient(settingsFor(upstream.url))
    await failureOf(ways.blob(client))
    const asked = upstream.requests.length
    expect(await outcomes(client)).toEqual({
      manifest: 'limited',
      head: 'limited',
      blob: 'limited',
      tags: 'limited',
    })
    expect(upstream.requests).toHaveLength(asked)
  })

  test('ends with one request, whatever the others want', async () => {
    let clock = 0
    let isLimited = true
    const asked = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    await using upstream = await startServer(async (request, response) => {
      if (isLimited) return void response.writeHead(429, { 'retry-after': '30' }).end()
      asked.resolve()
      await release.promise
      registry(request, response)
    })
    await using client = startClient(settingsFor(upstream.url), { now: () => clock })
    await failureOf(ways.manifest(client))
    clock += 30_000
    isLimited = false
    const probe = ways.manifest(client)
    await asked.promise
    const held = await Promise.all(Array.from({ length: 20 }, () => failureOf(ways.head(client))))
    expect(held.map(({ kind }) => kind)).toEqual(Array.from({ length: 20 }, () => 'limited'))
    expect(upstream.requests).toHaveLength(2)
    release.resolve()
    await probe
    await ways.head(client)
    expect(client.limits()).toEqual([])
  })
})

/** Counts manifests as Docker Hub does, HEADs too where `headsCount`. */
async function startCounting(
  remaining: number,
  headsCount = false,
): Promise<Recorder & { remaining(): number }> {
  let left = remaining
  const server = await startServer((request, response) => {
    if (request.url?.includes('/manifests/')) {
      if (request.method === 'GET' || headsCount) left -= 1
      response.setHeader('ratelimit-limit', '100;w=21600')
      response.setHeader('ratelimit-remaining', `${left};w=21600`)
    }
    registry(request, response)
  })
  return { ...server, requests: server.requests, remaining: () => left }
}

function clientOf(upstream: Recorder, more: Partial<RegistrySettings> = {}, clock = () => 0): TestClient {
  const budget = { reserve: { kind: 'requests', requests: 10 } } as const
  return startClient(settingsFor(upstream.url, { budget, ...more }), { now: clock })
}

describe('a rate limit', () => {
  test('is known from every answer', async () => {
    await using upstream = await startCounting(60)
    await using client = clientOf(upstream)
    expect(client.countsOnlyGets()).toBe(false)
    await ways.head(client)
    expect(client.limits()).toEqual([{ kind: 'manifest', remaining: 60, limit: 100 }])
    await ways.manifest(client)
    expect(client.limits()).toEqual([{ kind: 'manifest', remaining: 59, limit: 100 }])
    expect([client.countsOnlyGets(), client.isSparing(), client.isLimited()]).toEqual([true, false, false])
  })

  test('keeps its reserve for who waits, and refuses before upstream does', async () => {
    let clock = 0
    await using upstream = await startCounting(12)
    await using client = clientOf(upstream, {}, () => clock)
    await ways.manifest(client)
    expect(client.isSparing()).toBe(false)
    await ways.manifest(client)
    expect(client.isSparing()).toBe(true)
    for (let times = 0; times < 10; times++) {
      clock += 2_000
      await ways.manifest(client)
    }
    expect(upstream.remaining()).toBe(0)
    clock += 2_000
    const refused = await failureOf(ways.manifest(client))
    expect(refused).toMatchObject({ kind: 'limited', retryAfterMs: 58_000 })
    // What costs nothing may still be asked.
    await ways.head(client)
    expect(upstream.remaining()).toBe(0)
  })

  test('is spread when little is left: who comes too early is told when', async () => {
    await using upstream = await startCounting(9)
    await using client = clientOf(upstream)
    await ways.manifest(client)
    expect(await failureOf(ways.manifest(client))).toMatchObject({ kind: 'limited', retryAfterMs: 2_000 })
  })

  test('that counts HEADs is found out, and they are spent like the rest', async () => {
    await using upstream = await startCounting(3, true)
    await using client = clientOf(upstream)
    await ways.head(client)
    await ways.head(client)
    expect(client.countsOnlyGets()).toBe(false)
    await ways.head(client)
    expect(upstream.remaining()).toBe(0)
    expect(await failureOf(ways.head(client))).toMatchObject({ kind: 'limited' })
    expect(upstream.requests).toHaveLength(3)
  })

  test('of Docker Hub never counts HEADs, although others spend of it meanwhile', async () => {
    await using upstream = await startCounting(50, true)
    await using client = clientOf(upstream, { type: 'docker-hub' })
    await ways.head(client)
    await ways.head(client)
    expect(client.countsOnlyGets()).toBe(true)
  })
})

describe('a bandwidth', () => {
  test('is kept to by a body that is not cut for being idle while it waits for its share', async () => {
    const large = Buffer.alloc(600_000, 'x')
    await using upstream = await startServer((_, response) => void response.end(large))
    const timeouts = { headMs: 5_000, idleMs: 200 }
    await using client = startClient(settingsFor(upstream.url, { bandwidth: 250_000, timeouts }))

    const { body } = await client.openBlob(repository, blobDigest, whole, never())

    // Who waits in the urgent one's favour gets nothing meanwhile, and is not cut either.
    const warming = await client.openBlob(repository, blobDigest, { offset: 0, urgent: () => false }, never())
    expect((await buffer(body)).equals(large)).toBe(true)
    expect((await buffer(warming.body)).equals(large)).toBe(true)
  })

  test('is that of the hour, also of one that begins while a body is on its way', async () => {
    const large = Buffer.alloc(600_000, 'x')
    await using upstream = await startServer((_, response) => void response.end(large))
    const night = { days: new Set(days), from: '22:00', to: '06:00', bandwidth: 1 }
    let now = Date.parse('2026-11-26T23:00:00Z')
    const bandwidth = { timeZone: 'UTC', hours: [night] }
    await using client = startClient(settingsFor(upstream.url, { bandwidth }), { now: () => now })

    const { body } = await client.openBlob(repository, blobDigest, whole, never())
    await once(body, 'readable')
    expect(client.bandwidth()).toBe(1)

    now += 7 * 3_600_000
    expect((await buffer(body)).equals(large)).toBe(true)
    expect(client.bandwidth()).toBeUndefined()
  })

  test('still has a body cut whose upstream falls silent', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 600_000 }).write(Buffer.alloc(200_000))
    })
    const timeouts = { headMs: 5_000, idleMs: 200 }
    await using client = startClient(settingsFor(upstream.url, { bandwidth: 1e9, timeouts }))

    const { body } = await client.openBlob(repository, blobDigest, whole, never())

    expect(await failureOf(buffer(body))).toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' })
  })
})
