import { createHash } from 'node:crypto'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { acceptedManifests, maxManifestBytes, mediaTypes } from '../../src/oci/manifest.ts'
import { parseReference } from '../../src/oci/reference.ts'
import { UpstreamError, type UpstreamErrorKind } from '../../src/upstream/registry-client.ts'
import {
  failureOf,
  type Handler,
  manifest,
  manifestDigest,
  never,
  repository,
  sendManifest,
  settingsFor,
  startClient,
  startServer,
  tag,
} from './server.ts'

function sending(body: Buffer | string, headers: Record<string, string> = {}): Handler {
  return (_, response) => {
    response.writeHead(200, { 'content-type': mediaTypes.ociManifest, ...headers })
    response.end(body)
  }
}

describe('a manifest', () => {
  test('comes by tag with the digest of its bytes, and asks for everything that can be kept', async () => {
    await using upstream = await startServer((_, response) => sendManifest(response))
    await using client = startClient(settingsFor(`${upstream.url}/prefix`), { via: () => '1.1 branch-7' })

    const fetched = await client.getManifest(repository, tag, never())

    expect(fetched).toEqual({ digest: manifestDigest, mediaType: mediaTypes.ociManifest, bytes: manifest })
    const [request] = upstream.requests
    expect(request?.url).toBe('/prefix/v2/library/app/manifests/1.0')
    expect(request?.headers).toMatchObject({
      accept: acceptedManifests.join(', '),
      'accept-encoding': 'identity',
      'user-agent': 'outport/0.0.0-test',
      via: '1.1 branch-7',
      host: upstream.host,
    })
    expect(request?.headers).not.toHaveProperty('authorization')
  })

  test('comes by sha512 digest', async () => {
    await using upstream = await startServer(sending(manifest))
    await using client = startClient(settingsFor(upstream.url))
    const digest = `sha512:${createHash('sha512').update(manifest).digest('hex')}`

    const fetched = await client.getManifest(repository, parseReference(digest), never())

    expect(fetched.digest).toBe(digest)
  })

  test.each([
    ['gzip', gzipSync(manifest)],
    ['br', brotliCompressSync(manifest)],
  ])('is decoded when it comes as %s although identity was asked for', async (encoding, body) => {
    await using upstream = await startServer(sending(body, { 'content-encoding': encoding }))
    await using client = startClient(settingsFor(upstream.url))

    const { bytes } = await client.getManifest(repository, parseReference(manifestDigest), never())

    expect(bytes).toEqual(manifest)
  })

  const index = JSON.stringify({ schemaVersion: 2, manifests: [], layers: [] })
  const v1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
  const large = Buffer.alloc(maxManifestBytes + 1, ' ')
  test.each<[string, Handler, string]>([
    ['no JSON', sending('oops'), 'not JSON'],
    ['a web page', sending('<html>', { 'content-type': 'text/html; charset=utf-8' }), 'web page'],
    ['an ambiguous manifest', sending(index, { 'content-type': mediaTypes.ociIndex }), 'ambiguous'],
    ['schema 1', sending('{"schemaVersion":1,"signatures":[]}', { 'content-type': v1 }), 'schemaVersion'],
    [
      'called something else',
      sending(manifest, { 'content-type': mediaTypes.dockerManifest }),
      'was sent as',
    ],
    ['more than 4 MiB', sending(large, { 'content-length': `${large.length}` }), 'more than 4194304'],
    ['more than 4 MiB in chunks', sending(large, { 'transfer-encoding': 'chunked' }), 'more than 4194304'],
    ['a bomb', sending(gzipSync(Buffer.alloc(1 << 26)), { 'content-encoding': 'gzip' }), 'too large'],
    ['gzip that is none', sending(manifest, { 'content-encoding': 'gzip' }), 'cannot be read'],
    [
      'in an unknown encoding',
      sending(manifest, { 'content-encoding': 'zstd' }),
      'encoding nobody asked for',
    ],
  ])('is a lie when it is %s', async (_, handler, reason) => {
    await using upstream = await startServer(handler)
    await using client = startClient(settingsFor(upstream.url))

    const failure = await failureOf(client.getManifest(repository, tag, never()))

    expect(failure).toBeInstanceOf(UpstreamError)
    expect(failure.kind).toBe('lying')
    expect(failure.message).toContain(`${upstream.host}: `)
    expect(failure.message).toContain(reason)
  })

  test.each([
    ['sha256', manifestDigest],
    ['sha512', `sha512:${createHash('sha512').update(manifest).digest('hex')}`],
  ])('is a lie when its bytes are not those of its %s digest, whatever the header says', async (_, digest) => {
    await using upstream = await startServer(sending(`${manifest} `, { 'docker-content-digest': digest }))
    await using client = startClient(settingsFor(upstream.url))

    const failure = await failureOf(client.getManifest(repository, parseReference(digest), never()))

    expect(failure.kind).toBe('lying')
    expect(failure.message).toContain('other bytes')
  })
})

describe('the head of a manifest', () => {
  test('is what upstream claims', async () => {
    await using upstream = await startServer((_, response) => {
      const headers = { 'content-type': mediaTypes.ociManifest, 'content-length': '1234' }
      response.writeHead(200, { ...headers, 'docker-content-digest': manifestDigest }).end()
    })
    await using client = startClient(settingsFor(upstream.url))

    const head = await client.headManifest(repository, tag, never())

    expect(head).toEqual({ digest: manifestDigest, mediaType: mediaTypes.ociManifest, size: 1234 })
    expect(upstream.requests[0]?.method).toBe('HEAD')
  })

  test('leaves out what cannot be used', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'docker-content-digest': 'md5:0123' }).end()
    })
    await using client = startClient(settingsFor(upstream.url))

    expect(await client.headManifest(repository, tag, never())).not.toHaveProperty('digest')
    expect(await client.headManifest(repository, tag, never())).not.toHaveProperty('mediaType')
  })

  test('is a lie when a web page answers', async () => {
    await using upstream = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end()
    })
    await using client = startClient(settingsFor(upstream.url))

    expect((await failureOf(client.headManifest(repository, tag, never()))).kind).toBe('lying')
  })
})

test.each<[number, UpstreamErrorKind]>([
  [304, 'lying'],
  [400, 'lying'],
  [401, 'refused'],
  [403, 'refused'],
  [404, 'absent'],
  [408, 'down'],
  [410, 'absent'],
  [429, 'limited'],
  [500, 'down'],
  [502, 'down'],
  [503, 'down'],
  [504, 'down'],
])('status %i means %s', async (status, kind) => {
  await using upstream = await startServer((_, response) => {
    response.writeHead(status, { 'retry-after': '7' }).end('{"errors":[]}')
  })
  await using client = startClient(settingsFor(upstream.url))

  const failure = await failureOf(client.getManifest(repository, tag, never()))

  expect(failure.kind).toBe(kind)
  expect(failure.retryAfterMs).toBe(kind === 'limited' || kind === 'down' ? 7_000 : undefined)
})
