import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import {
  blob,
  blobDigest,
  failureOf,
  type Handler,
  never,
  type Recorder,
  repository,
  settingsFor,
  startClient,
  startServer,
} from '../upstream/server.ts'

const credential = { username: 'me', password: 'hunter2' }
const sendBlob: Handler = (_, response) =>
  response.writeHead(200, { 'content-length': blob.length }).end(blob)

/** Wants the credential for every blob, then redirects. */
function startUpstream(location: (url: string | undefined) => string | undefined): Promise<Recorder> {
  return startServer((request, response) => {
    if (!request.headers.authorization) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
    }
    const target = location(request.url)
    if (target === undefined && request.url?.startsWith('/here')) return sendBlob(request, response)
    response.writeHead(307, target === undefined ? {} : { location: target }).end('moved')
  })
}

function open(client: ReturnType<typeof startClient>) {
  return client.openBlob(repository, blobDigest, { offset: 7, etag: '"v1"' }, never())
}

describe('a redirect', () => {
  test('to another origin goes without the credential, with the range', async () => {
    await using cdn = await startServer(sendBlob)
    await using upstream = await startUpstream(() => `${cdn.url}/layer?signature=s3cr3t#x`)
    await using client = startClient(settingsFor(upstream.url, { credential, redirectHosts: [cdn.host] }))

    const { body } = await open(client)

    expect(await buffer(body)).toEqual(blob)
    const [request] = cdn.requests
    expect(request?.url).toBe('/layer?signature=s3cr3t')
    expect(request?.headers).toMatchObject({ range: 'bytes=7-', 'if-range': '"v1"', host: cdn.host })
    for (const secret of ['authorization', 'cookie', 'proxy-authorization']) {
      expect(request?.headers).not.toHaveProperty(secret)
    }
  })

  test.each([301, 302, 303, 307, 308])('%i within the origin keeps the credential', async (status) => {
    await using upstream = await startServer((request, response) => {
      if (!request.headers.authorization) response.writeHead(401, { 'www-authenticate': 'Basic' }).end()
      else if (request.url === '/here') sendBlob(request, response)
      else response.writeHead(status, { location: '/here' }).end()
    })
    await using client = startClient(settingsFor(upstream.url, { credential }))

    const { body } = await open(client)

    expect(await buffer(body)).toEqual(blob)
  })

  test.each<[string, string | undefined, string]>([
    ['without a place', undefined, 'leads nowhere'],
    ['to no URL', 'http://[', 'no URL'],
    ['to a file', 'file:///etc/passwd', 'file:'],
    ['over another scheme', 'gopher://x.test/1', 'gopher:'],
    ['with a login', 'http://me:pw@cdn.test/', 'with a login'],
    ['to a mail server', 'http://cdn.test:25/', 'not allowed'],
    ['to a shell server', 'http://cdn.test:22/', 'not allowed'],
    ['to itself', '', 'more than 5 times'],
  ])('%s is refused', async (_, location, reason) => {
    await using upstream = await startUpstream((url) => (location === '' ? url : location))
    await using client = startClient(settingsFor(upstream.url, { credential }))

    const failure = await failureOf(open(client))

    expect(failure.kind).toBe('lying')
    expect(failure.message).toContain(reason)
  })

  test.each([
    [5, true],
    [6, false],
  ])('may be followed by others: %i in all', async (hops, allowed) => {
    await using upstream = await startUpstream((url = '') => {
      const hop = Number(/hop(\d+)/.exec(url)?.[1] ?? 0)
      return url.startsWith('/here') ? undefined : hop + 1 < hops ? `/hop${hop + 1}` : '/here'
    })
    await using client = startClient(settingsFor(upstream.url, { credential }))

    if (allowed) expect(await buffer((await open(client)).body)).toEqual(blob)
    else expect((await failureOf(open(client))).message).toContain('more than 5 times')
  })

  test.each([
    ['another port of this host', (trap: Recorder) => `${trap.url}/`],
    ['another name of this host', (trap: Recorder) => `http://localhost:${trap.port}/`],
  ])('to %s is refused before it connects', async (_, target) => {
    await using trap = await startServer(sendBlob)
    await using upstream = await startUpstream(() => target(trap))
    await using client = startClient(settingsFor(upstream.url, { credential }))

    const failure = await failureOf(open(client))

    expect(failure.kind).toBe('lying')
    expect(failure.message).toContain('address is not allowed')
    expect(trap.connections).toBe(0)
  })

  test('from https to http is refused, also to a listed host', async () => {
    const authority = createAuthority()
    await using trap = await startServer(sendBlob)
    await using upstream = await startServer(
      (_, response) => response.writeHead(307, { location: trap.url }).end(),
      authority.issue({ names: ['127.0.0.1'] }),
    )
    await using client = startClient(
      settingsFor(upstream.url, { ca: authority.ca, redirectHosts: [trap.host] }),
    )

    const failure = await failureOf(open(client))

    expect(failure.kind).toBe('lying')
    expect(failure.message).toContain('without TLS')
    expect(trap.connections).toBe(0)
  })

  test('never shows its query in a message', async () => {
    await using cdn = await startServer((_, response) => response.writeHead(403).end())
    await using upstream = await startUpstream(() => `${cdn.url}/layer?X-Amz-Signature=s3cr3t`)
    await using listed = startClient(settingsFor(upstream.url, { credential, redirectHosts: [cdn.host] }))
    await using closed = startClient(settingsFor(upstream.url, { credential }))

    for (const client of [listed, closed]) {
      const failure = await failureOf(open(client))
      expect(JSON.stringify([failure.message, failure.stack, failure.cause])).not.toContain('s3cr3t')
      expect(failure.message).toContain(cdn.host)
    }
  })

  test('to a host that refuses is worth another try', async () => {
    await using cdn = await startServer((_, response) => response.writeHead(403).end('expired'))
    await using upstream = await startUpstream(() => cdn.url)
    await using client = startClient(settingsFor(upstream.url, { credential, redirectHosts: [cdn.host] }))

    expect((await failureOf(open(client))).kind).toBe('down')
  })
})
