import type { TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { createAuthority } from '../support/certificates.ts'
import {
  blobDigest,
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
} from '../upstream/server.ts'

const authority = createAuthority('the operator')
const stranger = createAuthority('somebody else')
const credential = { username: 'me', password: 'hunter2' }
const good: Handler = (_, response) => sendManifest(response)
const yesterday = new Date(Date.now() - 86_400_000)
const names = ['127.0.0.1']

const unfit = [
  ['an unknown authority', stranger.issue({ names })],
  ['another name', authority.issue({ names: ['other.test'] })],
  ['a time that is over', authority.issue({ names, notBefore: new Date(0), notAfter: yesterday })],
] as const

describe('an upstream whose certificate is from', () => {
  test.each(unfit)('%s is down and sees no request', async (_, tls) => {
    await using upstream = await startServer(good, tls)
    await using client = startClient(settingsFor(upstream.url, { ca: authority.ca, credential }))

    const failure = await failureOf(client.getManifest(repository, tag, never()))

    expect(failure.kind).toBe('down')
    expect(failure.message).toContain('certificate')
    expect(upstream.requests).toHaveLength(0)
  })

  test.each(unfit)('%s is taken where the operator says insecure', async (_, tls) => {
    await using upstream = await startServer(good, tls)
    await using client = startClient(settingsFor(upstream.url, { insecure: true }))

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
  })

  test('the operator’s authority is taken beside the system’s', async () => {
    await using upstream = await startServer(good, authority.issue({ names }))
    await using client = startClient(settingsFor(upstream.url, { ca: `${stranger.ca}\n${authority.ca}` }))
    await using without = startClient(settingsFor(upstream.url))

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
    expect((await failureOf(without.getManifest(repository, tag, never()))).kind).toBe('down')
  })
})

test('insecure does not reach beyond the registry itself', async () => {
  await using cdn = await startServer((_, response) => response.end(), stranger.issue({ names }))
  await using upstream = await startServer(
    (_, response) => response.writeHead(307, { location: cdn.url }).end(),
    stranger.issue({ names }),
  )
  await using client = startClient(settingsFor(upstream.url, { insecure: true, redirectHosts: [cdn.host] }))

  const failure = await failureOf(client.headBlob(repository, blobDigest, never()))

  expect(failure.kind).toBe('down')
  expect(failure.message).toContain(cdn.host)
  expect(cdn.requests).toHaveLength(0)
})

test('a client certificate is shown to the registry and to nobody else', async () => {
  const clientCertificate = authority.issue({ names: ['edge.test'] })
  const shown =
    (name: string, seen: string[]): Handler =>
    (request, response) => {
      const { subject } = (request.socket as TLSSocket).getPeerCertificate()
      seen.push(`${name}: ${subject?.CN ?? 'none'}`)
      if (name === 'cdn') response.end()
      else response.writeHead(307, { location: cdn.url }).end()
    }
  const seen: string[] = []
  const asking = {
    ...authority.issue({ names }),
    ca: authority.ca,
    requestCert: true,
    rejectUnauthorized: false,
  }
  await using cdn = await startServer(shown('cdn', seen), asking)
  await using upstream = await startServer(shown('registry', seen), asking)
  const more = { ca: authority.ca, clientCertificate, redirectHosts: [cdn.host] }
  await using client = startClient(settingsFor(upstream.url, more))

  await client.headBlob(repository, blobDigest, never())

  expect(seen).toEqual(['registry: edge.test', 'cdn: none'])
})

describe('an address to connect to', () => {
  test('keeps the name in the certificate, in SNI and in Host', async () => {
    await using upstream = await startServer(good, authority.issue({ names: ['harbor.corp'] }))
    const settings = settingsFor('https://harbor.corp', { ca: authority.ca, address: upstream.host })
    await using client = startClient(settings)

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
    const [request] = upstream.requests
    expect(request?.headers.host).toBe('harbor.corp')
    expect((request?.socket as TLSSocket).servername).toBe('harbor.corp')
  })

  test('without a port uses the url’s', async () => {
    await using upstream = await startServer(good)
    const settings = settingsFor(`http://harbor.corp:${upstream.port}`, { address: '127.0.0.1' })
    await using client = startClient(settings)

    expect((await client.getManifest(repository, tag, never())).digest).toBe(manifestDigest)
    expect(upstream.requests[0]?.headers.host).toBe(`harbor.corp:${upstream.port}`)
  })
})
