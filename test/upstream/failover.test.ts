import type { ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { openMs } from '../../src/upstream/breaker.ts'
import type { UpstreamCall } from '../../src/upstream/client.ts'
import { UpstreamError } from '../../src/upstream/registry-client.ts'
import {
  blob,
  blobDigest,
  closedPort,
  failureOf,
  type Handler,
  manifestDigest,
  never,
  repository,
  sendManifest,
  settingsFor,
  startClient,
  startServer,
  tag,
} from './server.ts'

const good: Handler = (_, response) => sendManifest(response)
const broken: Handler = (_, response) => response.writeHead(500).end()
const silent: Handler = (request) => request.socket.resetAndDestroy()

describe('several urls', () => {
  test('are tried in order', async () => {
    await using first = await startServer(good)
    await using second = await startServer(good)
    await using client = startClient(settingsFor([first.url, second.url]))

    await client.getManifest(repository, tag, never())

    expect([first.requests.length, second.requests.length]).toEqual([1, 0])
  })

  test.each<[string, Handler]>([
    ['answers 500', broken],
    ['breaks off in the middle', (_, response) => response.writeHead(200, { 'content-length': 99 }).end('{')],
    ['never answers', () => {}],
  ])('give way to the next when the first %s', async (_, handler) => {
    await using first = await startServer(handler)
    await using second = await startServer(good)
    await using client = startClient(
      settingsFor([first.url, second.url], { timeouts: { headMs: 400, idleMs: 400 } }),
    )

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
  })

  test.each([404, 401, 403, 429])('do not give way when the first answers %i', async (status) => {
    await using first = await startServer((_, response) => response.writeHead(status).end())
    await using second = await startServer(good)
    await using client = startClient(settingsFor([first.url, second.url]))

    await failureOf(client.getManifest(repository, tag, never()))

    expect(second.requests).toHaveLength(0)
  })

  test.each<[string, (response: ServerResponse) => void]>([
    ['reset', (response) => response.socket?.resetAndDestroy()],
    ['truncated', (response) => response.socket?.end()],
    ['silent', () => {}],
  ])('give way to the next for a while when a body of the first is %s', async (_, breakOff) => {
    let clock = 0
    await using first = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': blob.length }).write(blob.subarray(0, 4))
      response.socket?.write('', () => breakOff(response))
    })
    await using second = await startServer((_, response) => void response.end(blob))
    await using client = startClient(
      settingsFor([first.url, second.url], { timeouts: { headMs: 5_000, idleMs: 300 } }),
      { now: () => clock },
    )
    const open = () => client.openBlob(repository, blobDigest, { offset: 0 }, never())

    await failureOf(buffer((await open()).body))
    expect(await buffer((await open()).body)).toEqual(blob)
    clock += 60_000
    await failureOf(buffer((await open()).body))

    expect([first.requests.length, second.requests.length]).toEqual([2, 1])
  })

  test('do not give way when a body is left unread, or its caller is gone', async () => {
    await using first = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': blob.length }).write(blob.subarray(0, 4))
    })
    await using second = await startServer((_, response) => void response.end(blob))
    await using client = startClient(settingsFor([first.url, second.url]))
    const open = (signal: AbortSignal) => client.openBlob(repository, blobDigest, { offset: 0 }, signal)

    const caller = new AbortController()
    const left = await open(caller.signal)
    caller.abort(new Error('gone'))
    await failureOf(buffer(left.body))
    const unread = (await open(never())).body.on('error', () => {})
    await new Promise((resolve) => unread.once('close', resolve).destroy())
    ;(await open(never())).body.on('error', () => {}).destroy()

    expect([first.requests.length, second.requests.length]).toEqual([3, 0])
  })

  test('are down only when each of them is', async () => {
    const dead = `http://127.0.0.1:${await closedPort()}`
    await using second = await startServer(good)
    await using client = startClient(settingsFor([dead, second.url]))

    for (let times = 0; times < 3; times++) await client.getManifest(repository, tag, never())

    expect(client.isDown()).toBe(false)
    expect(second.requests).toHaveLength(3)
  })
})

describe('an upstream that fails', () => {
  test('is left alone after two failures, and asked by one when it may be back', async () => {
    let clock = 0
    let handler = silent
    await using upstream = await startServer((request, response) => handler(request, response))
    await using client = startClient(settingsFor(upstream.url), { now: () => clock })
    const pull = () => client.getManifest(repository, tag, never())

    expect(client.isDown()).toBe(false)
    await failureOf(pull())
    await failureOf(pull())
    expect(client.isDown()).toBe(true)
    const asked = upstream.requests.length
    expect((await failureOf(pull())).kind).toBe('down')
    expect(upstream.requests).toHaveLength(asked)

    clock += openMs
    expect(client.isDown()).toBe(false)
    const probing = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    handler = async (_, response) => {
      probing.resolve()
      await answer.promise
      sendManifest(response)
    }
    const probe = pull()
    await probing.promise
    expect((await failureOf(pull())).kind).toBe('down')
    answer.resolve()
    await probe
    expect(upstream.requests).toHaveLength(asked + 1)

    await Promise.all([pull(), pull()])
    expect(client.isDown()).toBe(false)
  })

  test('at a few things that it is asked for is not left alone for the others', async () => {
    let handler = broken
    await using upstream = await startServer((request, response) => handler(request, response))
    await using client = startClient(settingsFor(upstream.url))
    const pull = () => client.getManifest(repository, tag, never())

    for (let times = 0; times < 5; times++) await failureOf(pull())
    expect(client.isDown()).toBe(false)
    handler = good
    await pull()
    handler = broken
    for (let times = 0; times < 6; times++) await failureOf(pull())
    expect(client.isDown()).toBe(true)
  })

  test('that refuses connections is down', async () => {
    await using client = startClient(settingsFor(`http://127.0.0.1:${await closedPort()}`))

    const failure = await failureOf(client.getManifest(repository, tag, never()))
    await failureOf(client.headManifest(repository, tag, never()))

    expect(failure.kind).toBe('down')
    expect(failure.message).toContain('connection refused')
    expect(client.isDown()).toBe(true)
  })

  test('is up whatever it says about content', async () => {
    await using upstream = await startServer((_, response) => response.writeHead(404).end())
    await using client = startClient(settingsFor(upstream.url))

    for (let times = 0; times < 5; times++) await failureOf(client.getManifest(repository, tag, never()))

    expect(client.isDown()).toBe(false)
  })

  test('is down behind a captive portal', async () => {
    await using portal = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')
    })
    await using client = startClient(settingsFor(portal.url))

    const failures = [
      await failureOf(client.getManifest(repository, tag, never())),
      await failureOf(client.getManifest(repository, tag, never())),
      await failureOf(client.getManifest(repository, tag, never())),
    ]

    expect(failures.map(({ kind }) => kind)).toEqual(['lying', 'lying', 'down'])
    expect(client.isDown()).toBe(true)
  })

  test('is not counted as failing when its callers leave', async () => {
    let asked = Promise.withResolvers<void>()
    await using upstream = await startServer(() => asked.resolve())
    await using client = startClient(settingsFor(upstream.url))

    for (let times = 0; times < 3; times++) {
      const caller = new AbortController()
      const reason = new UpstreamError('down', 'the fill has no readers any more')
      asked = Promise.withResolvers()
      const left = failureOf(client.getManifest(repository, tag, caller.signal))
      await asked.promise
      caller.abort(reason)
      expect(await left).toBe(reason)
    }

    expect(client.isDown()).toBe(false)
  })
})

describe('429', () => {
  test.each<[string | undefined, number]>([
    [undefined, 5_000],
    ['7', 7_000],
    ['21600', 3_600_000],
  ])('with Retry-After %j holds requests back for %i ms', async (header, coolDownMs) => {
    let clock = Date.now()
    await using upstream = await startServer((_, response) => {
      if (header) response.setHeader('retry-after', header)
      response.writeHead(429).end()
    })
    await using client = startClient(settingsFor(upstream.url), { now: () => clock })

    await failureOf(client.getManifest(repository, tag, never()))
    clock += 1_000
    const held = await failureOf(client.headManifest(repository, tag, never()))

    expect(held).toMatchObject({ kind: 'limited', retryAfterMs: coolDownMs - 1_000 })
    expect([client.isLimited(), client.isDown()]).toEqual([true, false])
    expect(upstream.requests).toHaveLength(1)

    clock += coolDownMs
    expect(client.isLimited()).toBe(false)
    await failureOf(client.headManifest(repository, tag, never()))
    expect(upstream.requests).toHaveLength(2)
  })
})

test('each call is reported once, with its outcome', async () => {
  const calls: UpstreamCall[] = []
  await using upstream = await startServer((request, response) => {
    if (request.method === 'HEAD') response.writeHead(404).end()
    else sendManifest(response)
  })
  await using client = startClient(settingsFor(upstream.url), { observe: (call) => calls.push(call) })

  await client.getManifest(repository, tag, never())
  await failureOf(client.headManifest(repository, tag, never()))

  expect(calls.map(({ ms, ...call }) => call)).toEqual([
    { registry: 'upstream', kind: 'manifest', method: 'GET', outcome: 'ok' },
    { registry: 'upstream', kind: 'manifest', method: 'HEAD', outcome: 'absent' },
  ])
})
