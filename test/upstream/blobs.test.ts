import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import type { UpstreamErrorKind } from '../../src/upstream/registry-client.ts'
import {
  blob,
  blobDigest,
  failureOf,
  type Handler,
  never,
  repository,
  settingsFor,
  startClient,
  startServer,
} from './server.ts'

const start = { offset: 0 }

function answering(
  status: number,
  headers: Record<string, string | number>,
  body: Buffer | string = '',
): Handler {
  return (_, response) => {
    response.writeHead(status, headers).end(body)
  }
}

describe('a blob', () => {
  test('comes with its size and its strong validator', async () => {
    await using upstream = await startServer(
      answering(200, { 'content-length': blob.length, etag: '"v1"' }, blob),
    )
    await using client = startClient(settingsFor(upstream.url))

    const { body, ...head } = await client.openBlob(repository, blobDigest, start, never())

    expect(head).toEqual({
      offset: 0,
      end: blob.length,
      ignoredRange: false,
      size: blob.length,
      etag: '"v1"',
      giveBack: expect.any(Function),
    })
    expect(await buffer(body)).toEqual(blob)
    expect(upstream.requests[0]?.url).toBe(`/v2/library/app/blobs/${blobDigest}`)
    expect(upstream.requests[0]?.headers).not.toHaveProperty('range')
  })

  test('goes on where it stopped, if it is still the same', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(206, {
        'content-range': `bytes 5-${blob.length - 1}/${blob.length}`,
        etag: 'W/"weak"',
      })
      response.end(blob.subarray(5))
    })
    await using client = startClient(settingsFor(upstream.url))

    const { body, ...head } = await client.openBlob(
      repository,
      blobDigest,
      { offset: 5, etag: '"v1"' },
      never(),
    )

    expect(head).toMatchObject({ offset: 5, end: blob.length, ignoredRange: false, size: blob.length })
    expect(head).not.toHaveProperty('etag')
    expect(await buffer(body)).toEqual(blob.subarray(5))
    expect(upstream.requests[0]?.headers).toMatchObject({ range: 'bytes=5-', 'if-range': '"v1"' })
  })

  test('can be asked for in parts', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(206, { 'content-range': `bytes 0-3/${blob.length}` }).end(blob.subarray(0, 4))
    })
    await using client = startClient(settingsFor(upstream.url))

    const part = { offset: 0, end: 4, etag: '"v1"' }
    const { body, size } = await client.openBlob(repository, blobDigest, part, never())

    expect(size).toBe(blob.length)
    expect(await buffer(body)).toEqual(blob.subarray(0, 4))
    expect(upstream.requests[0]?.headers).toMatchObject({ range: 'bytes=0-3', 'if-range': '"v1"' })
  })

  test('begins anew when upstream ignores the range', async () => {
    await using upstream = await startServer(answering(200, {}, blob))
    await using client = startClient(settingsFor(upstream.url))

    const { offset, body } = await client.openBlob(
      repository,
      blobDigest,
      { offset: 5, etag: 'W/"weak"' },
      never(),
    )

    expect(offset).toBe(0)
    expect(await buffer(body)).toEqual(blob)
    expect(upstream.requests[0]?.headers).not.toHaveProperty('if-range')
  })

  test.each<[string, UpstreamErrorKind, number, Handler]>([
    ['a web page', 'lying', 0, answering(200, { 'content-type': 'Text/HTML' }, '<html>')],
    ['a content encoding', 'lying', 0, answering(200, { 'content-encoding': 'gzip' }, blob)],
    ['a range nobody asked for', 'lying', 0, answering(206, { 'content-range': 'bytes 3-9/20' }, 'seven b')],
    ['another range', 'lying', 5, answering(206, { 'content-range': 'bytes 4-19/20' }, blob.subarray(4))],
    ['a range without Content-Range', 'lying', 5, answering(206, {}, blob.subarray(5))],
    ['a range beyond its own size', 'lying', 5, answering(206, { 'content-range': 'bytes 5-20/20' }, 'x')],
    [
      'several ranges',
      'lying',
      5,
      answering(206, { 'content-type': 'multipart/byteranges; boundary=x' }, '--x'),
    ],
    ['no content', 'lying', 0, answering(204, {})],
    // The blob is shorter than what this site has of it already: these are other bytes.
    ['an unsatisfiable range', 'lying', 5, answering(416, { 'content-range': 'bytes */3' })],
    ['nothing', 'absent', 0, answering(404, {}, '{"errors":[]}')],
  ])('with %s is %s', async (_, kind, offset, handler) => {
    await using upstream = await startServer(handler)
    await using client = startClient(settingsFor(upstream.url))

    expect((await failureOf(client.openBlob(repository, blobDigest, { offset }, never()))).kind).toBe(kind)
  })

  test('ends its connection when its reader leaves', async () => {
    const left = Promise.withResolvers<void>()
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 1 << 20 }).write(blob)
      response.on('close', () => left.resolve())
    })
    await using client = startClient(settingsFor(upstream.url))

    const { body } = await client.openBlob(repository, blobDigest, start, never())
    body.destroy()

    await left.promise
  })

  test('breaks off with the reason of the signal', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 1 << 20 }).write(blob)
    })
    await using client = startClient(settingsFor(upstream.url))
    const caller = new AbortController()
    const reason = new Error('the site shuts down')

    const { body } = await client.openBlob(repository, blobDigest, start, caller.signal)
    const broken = once(body, 'error')
    caller.abort(reason)

    expect(await broken).toEqual([reason])
  })

  test('does not count the time after its status', async () => {
    const more = Promise.withResolvers<void>()
    await using upstream = await startServer(async (_, response) => {
      response.writeHead(200, { 'content-length': blob.length }).write(blob.subarray(0, 4))
      await more.promise
      response.end(blob.subarray(4))
    })
    const timeouts = { headMs: 150, idleMs: 10_000 }
    await using client = startClient(settingsFor(upstream.url, { timeouts }))

    const { body } = await client.openBlob(repository, blobDigest, start, never())
    setTimeout(more.resolve, 2 * timeouts.headMs)

    expect(await buffer(body)).toEqual(blob)
  })

  test('waits for a connection while as many as allowed are open', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 1 << 20 }).write(blob)
    })
    await using client = startClient(settingsFor(upstream.url, { connections: 1 }))
    const first = await client.openBlob(repository, blobDigest, start, never())
    const second = client.openBlob(repository, blobDigest, start, never())

    // A manifest does not stand in that line.
    await failureOf(
      client.getManifest(repository, { kind: 'digest', digest: blobDigest }, AbortSignal.timeout(50)),
    )
    expect(upstream.requests.map(({ url }) => url?.split('/').at(-2))).toEqual(['blobs', 'manifests'])
    first.body.destroy()

    const { body } = await second
    body.destroy()
    expect(upstream.requests).toHaveLength(3)
  })
})

describe('the head of a blob', () => {
  test('says its size', async () => {
    await using upstream = await startServer(answering(200, { 'content-length': 4711 }))
    await using client = startClient(settingsFor(upstream.url))

    expect(await client.headBlob(repository, blobDigest, never())).toEqual({ size: 4711 })
    expect(upstream.requests.map(({ method }) => method)).toEqual(['HEAD'])
  })

  const lacking: Handler = (request, response) => {
    if (request.method === 'HEAD') response.writeHead(404).end()
    else response.writeHead(200, { 'content-length': 1 << 30 }).write(blob)
  }

  test('is asked of a Harbor by GET when HEAD says 404', async () => {
    await using upstream = await startServer(lacking)
    await using client = startClient(settingsFor(upstream.url, { type: 'harbor' }))

    expect(await client.headBlob(repository, blobDigest, never())).toEqual({ size: 1 << 30 })
  })

  test('is absent elsewhere when HEAD says 404', async () => {
    await using upstream = await startServer(lacking)
    await using client = startClient(settingsFor(upstream.url))

    expect((await failureOf(client.headBlob(repository, blobDigest, never()))).kind).toBe('absent')
  })
})
