import { createHash, randomBytes } from 'node:crypto'
import type { LookupFunction, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { mediaTypes } from '../../src/oci/manifest.ts'
import {
  blob,
  blobDigest,
  failureOf,
  manifest,
  manifestDigest,
  never,
  repository,
  sendManifest,
  settingsFor,
  startClient,
  startRawServer,
  startServer,
  tag,
} from './server.ts'

const head = `HTTP/1.1 200 OK\r\nContent-Type: ${mediaTypes.ociManifest}\r\n`

/** Calls `answer` for each request head that comes in. */
function onRequests(socket: Socket, answer: (number: number) => void): void {
  let number = 0
  socket.on('data', (bytes) => {
    if (bytes.includes('\r\n\r\n')) answer(++number)
  })
}

describe('answers of every kind of server', () => {
  test.each<[string, string]>([
    [
      'chunked',
      `${head}Transfer-Encoding: chunked\r\n\r\n${manifest.length.toString(16)}\r\n${manifest}\r\n0\r\n\r\n`,
    ],
    [
      'HTTP/1.0 without a length',
      `HTTP/1.0 200 OK\r\nContent-Type: ${mediaTypes.ociManifest}\r\n\r\n${manifest}`,
    ],
    [
      '103 first',
      `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${head}Content-Length: ${manifest.length}\r\n\r\n${manifest}`,
    ],
    [
      '102 first',
      `HTTP/1.1 102 Processing\r\n\r\n${head}Content-Length: ${manifest.length}\r\n\r\n${manifest}`,
    ],
  ])('%s', async (_, answer) => {
    await using upstream = await startRawServer((socket) => onRequests(socket, () => socket.end(answer)))
    await using client = startClient(settingsFor(upstream.url))

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
  })

  test.each<[string, string]>([
    ['cut short', `${head}Content-Length: ${manifest.length + 1}\r\n\r\n${manifest}`],
    ['cut short in chunks', `${head}Transfer-Encoding: chunked\r\n\r\nff\r\n{`],
    ['not HTTP', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['nothing', ''],
  ])('%s is down', async (_, answer) => {
    await using upstream = await startRawServer((socket) => onRequests(socket, () => socket.end(answer)))
    await using client = startClient(settingsFor(upstream.url))

    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('down')
  })
})

describe('a kept connection', () => {
  test('is used again, also after errors and HEAD', async () => {
    await using upstream = await startServer((request, response) => {
      if (request.method === 'GET') return sendManifest(response)
      response.writeHead(404, { 'content-length': 500 }).end()
    })
    await using client = startClient(settingsFor(upstream.url))

    await client.getManifest(repository, tag, never())
    await failureOf(client.headManifest(repository, tag, never()))
    await client.getManifest(repository, tag, never())

    expect(upstream.requests).toHaveLength(3)
    expect(upstream.connections).toBeLessThan(3)
  })

  test.each<[string, (socket: Socket) => void]>([
    ['closed', (socket) => socket.end()],
    ['reset', (socket) => socket.resetAndDestroy()],
  ])('that is %s just when it is used costs nothing', async (_, leave) => {
    const answer = `${head}Content-Length: ${manifest.length}\r\n\r\n${manifest}`
    await using upstream = await startRawServer((socket) => {
      onRequests(socket, (number) => (number === 1 ? socket.write(answer) : leave(socket)))
    })
    await using client = startClient(settingsFor(upstream.url))

    for (let times = 0; times < 3; times++) {
      expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
    }
    expect(upstream.connections).toBe(3)
  })
})

describe('time', () => {
  test('no status in time is down', async () => {
    await using upstream = await startServer(() => {})
    await using client = startClient(settingsFor(upstream.url, { timeouts: { headMs: 100, idleMs: 5_000 } }))

    const failure = await failureOf(client.openBlob(repository, blobDigest, { offset: 0 }, never()))

    expect(failure.kind).toBe('down')
    expect(failure.message).toContain('no status within 100 ms')
  })

  test('redirects share the time of one call', async () => {
    await using upstream = await startServer((request, response) => {
      setTimeout(() => response.writeHead(307, { location: `${request.url}x` }).end(), 60)
    })
    await using client = startClient(settingsFor(upstream.url, { timeouts: { headMs: 150, idleMs: 5_000 } }))

    expect((await failureOf(client.headBlob(repository, blobDigest, never()))).message).toContain(
      'no status within',
    )
  })

  test('a blob that falls silent breaks off', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 1_000 }).write(blob)
    })
    await using client = startClient(settingsFor(upstream.url, { timeouts: { headMs: 5_000, idleMs: 100 } }))

    const { body } = await client.openBlob(repository, blobDigest, { offset: 0 }, never())

    await expect(buffer(body)).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' })
  })

  test('a manifest that trickles is down', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': mediaTypes.ociManifest })
      const trickle = setInterval(() => response.write(' '), 20)
      response.on('close', () => clearInterval(trickle))
    })
    await using client = startClient(settingsFor(upstream.url, { timeouts: { headMs: 5_000, idleMs: 200 } }))

    expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('down')
  })

  test('a signal that has aborted before asks nobody', async () => {
    await using upstream = await startServer(() => {})
    await using client = startClient(settingsFor(upstream.url))
    const reason = new Error('gone')

    expect(await failureOf(client.getManifest(repository, tag, AbortSignal.abort(reason)))).toBe(reason)
    expect(upstream.connections).toBe(0)
  })

  test('a signal ends the wait for a connection', async () => {
    const caller = new AbortController()
    const reason = new Error('gone')
    await using client = startClient(settingsFor('http://upstream.test'), {
      lookup: () => caller.abort(reason),
    })

    expect(await failureOf(client.getManifest(repository, tag, caller.signal))).toBe(reason)
  })
})

test('a name whose first address is dead is reached at the next', async () => {
  await using upstream = await startServer((_, response) => sendManifest(response))
  const lookup: LookupFunction = (_, __, callback) => {
    callback(null, [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ])
  }
  await using client = startClient(settingsFor(`http://registry.test:${upstream.port}`), { lookup })

  expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
})

test('closing waits for a blob that is being read', async () => {
  const more = Promise.withResolvers<void>()
  await using upstream = await startServer(async (_, response) => {
    response.writeHead(200, { 'content-length': blob.length }).write(blob.subarray(0, 4))
    await more.promise
    response.end(blob.subarray(4))
  })
  const client = startClient(settingsFor(upstream.url))
  const { body } = await client.openBlob(repository, blobDigest, { offset: 0 }, never())

  const closed = client.close()
  more.resolve()

  expect(await buffer(body)).toEqual(blob)
  await closed
  expect((await failureOf(client.getManifest(repository, tag, never()))).kind).toBe('down')
})

test('a large blob arrives as it is', async () => {
  const bytes = randomBytes(8 * 1024 * 1024)
  await using upstream = await startServer((_, response) => response.end(bytes))
  await using client = startClient(settingsFor(upstream.url))

  const { body } = await client.openBlob(repository, blobDigest, { offset: 0 }, never())
  const hash = createHash('sha256')
  for await (const chunk of body) hash.update(chunk)

  expect(hash.digest()).toEqual(createHash('sha256').update(bytes).digest())
})
