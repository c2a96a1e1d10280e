import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { type Fetched, type FetchOptions, fetchBlob, responseTo } from '../support/fetch-blob.ts'
import { blobsOf, buildImage, buildIndex, type Content, type Image } from '../support/images.ts'
import { startUpstream, type Upstream, type UpstreamOptions } from '../support/upstream.ts'

/** What the recorded behaviour of docker, containerd, podman and skopeo asks of a mirror. */

const amd64 = buildImage({ seed: 'oci', layers: [1024, 2 * 1024 * 1024] })
const ociIndex = buildIndex([
  { image: amd64 },
  { image: buildImage({ layers: [512], platform: 'linux/arm64' }) },
])
const dockerImage = buildImage({ seed: 'docker', format: 'docker', layers: [1024] })
const dockerList = buildIndex([{ image: dockerImage }], { format: 'docker' })
const layer = amd64.layers[1] as Content

/** As docker 20.10 sends it, containerd for a tag, containerd that was told another type, and somebody who says nothing. */
const acceptLines = [
  [
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/json',
    'application/vnd.oci.image.manifest.v1+json',
  ],
  'application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*',
  'application/vnd.docker.distribution.manifest.v1+prettyjws, */*',
  undefined,
]

describe('manifests', () => {
  const held = { ociIndex, amd64, dockerList, dockerImage }

  for (const [name, image] of Object.entries(held)) {
    test(`${name} keeps its type, digest and bytes, however it is asked for`, async () => {
      await using site = await startMirror()
      const { manifest } = image

      for (const [at, accept] of acceptLines.entries()) {
        const repository = `library/x${at}`
        site.upstream.addImage(repository, '1', image)
        for (const reference of ['1', manifest.digest]) {
          for (const method of ['HEAD', 'GET']) {
            const path = `/v2/${repository}/manifests/${reference}`
            const { status, headers, body } = await ask(site.edge, path, {
              method,
              ...(accept && { headers: { accept } }),
            })

            expect({ path, method, status }).toEqual({ path, method, status: 200 })
            expect(headers).toMatchObject({
              'content-type': manifest.mediaType,
              'content-length': String(manifest.bytes.length),
              'docker-content-digest': manifest.digest,
            })
            expect(body).toEqual(method === 'GET' ? manifest.bytes : Buffer.alloc(0))
          }
        }
      }
    })
  }

  test('a type that upstream got wrong is taken from the manifest itself', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    site.upstream.fault({ on: { kind: 'manifest' }, contentType: 'application/json' })

    const { status, headers, body } = await ask(site.edge, '/v2/library/x/manifests/1')

    expect({ status, type: headers['content-type'], body }).toEqual({
      status: 200,
      type: ociIndex.manifest.mediaType,
      body: ociIndex.manifest.bytes,
    })
  })

  test('a page of HTML under the name of a manifest is no manifest', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    site.upstream.fault({ on: { kind: 'manifest' }, html: true })

    await expectError(site.edge, '/v2/library/x/manifests/1', 503, 'UNAVAILABLE')
  })

  test('asking by HEAD for what is not here downloads no layer', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)

    await ask(site.edge, '/v2/library/x/manifests/1', { method: 'HEAD' })
    const answer = await ask(site.edge, `/v2/library/x/blobs/${layer.digest}`, { method: 'HEAD' })

    expect(answer.status).toBe(200)
    expect(answer.headers['content-length']).toBe(String(layer.bytes.length))
    expect(site.upstream.blobBytes()).toBe(0)
  })
})

describe('the connection', () => {
  test('an open mirror never challenges', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)

    for (const path of ['/v2/', '/v2/library/x/manifests/1', '/v2/library/nothing/manifests/1']) {
      const { status, headers } = await ask(site.edge, path)
      expect({ path, status, challenge: headers['www-authenticate'] }).toEqual({
        path,
        status: path.includes('nothing') ? 404 : 200,
        challenge: undefined,
      })
    }
  })

  test('a challenge of upstream does not come through', async () => {
    const auth = { service: 'registry', users: { alice: 'secret' }, allows: () => false }
    await using site = await startMirror({ upstream: { auth } })
    site.upstream.addImage('library/x', '1', ociIndex)

    const { headers } = await expectError(site.edge, '/v2/library/x/manifests/1', 404, 'MANIFEST_UNKNOWN')

    expect(headers['www-authenticate']).toBeUndefined()
  })

  test('a connection for each request, as docker 20.10 and podman have it', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    const paths = ['/v2/', '/v2/library/x/manifests/1', `/v2/library/x/blobs/${layer.digest}`]

    for (const path of [...paths, ...paths]) {
      const said = await sayUntilTheEnd(
        site.edge,
        `GET ${path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n`,
      )

      expect(said).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nconnection: close\r\n/i)
    }
  })

  test('a TLS hello on the plain port is told 400 in plain HTTP, and the connection ends', async () => {
    await using site = await startMirror()
    // The head of a TLS record with a ClientHello: docker begins with one at a plain mirror on loopback.
    const hello = Buffer.concat([Buffer.from('16030100f8010000f40303', 'hex'), Buffer.alloc(242, 0xa5)])

    const said = await sayUntilTheEnd(site.edge, hello)

    expect(said).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  })
})

describe('blobs', () => {
  test('nothing is encoded, whatever the client would take', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)

    for (const accepted of ['gzip', 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5', 'br, *;q=0.1']) {
      const headers = { 'accept-encoding': accepted }
      const answer = await ask(site.edge, `/v2/library/x/blobs/${layer.digest}`, { headers })

      expect(answer.headers['content-encoding']).toBeUndefined()
      expect(answer.headers['accept-ranges']).toBe('bytes')
      expect(answer.headers['content-length']).toBe(String(layer.bytes.length))
      expect(answer.body.equals(layer.bytes)).toBe(true)
    }
  })

  test('the head is there as soon as upstream has said it, long before the body', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
    using stall = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, stallAt: 1 })

    const response = await open(site.edge, `/v2/library/x/blobs/${layer.digest}`)
    expect(response.statusCode).toBe(200)

    stall.release()
    expect((await buffer(response)).equals(layer.bytes)).toBe(true)
  })

  test('a range of a blob that is still on its way', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
    const path = `/v2/library/x/blobs/${layer.digest}`
    const size = layer.bytes.length
    using stall = site.upstream.fault({ on: { kind: 'blob' }, stallAt: size / 2 })
    const whole = await open(site.edge, path)
    const wholeBody = buffer(whole)
    await stall.struck()

    const near = await open(site.edge, path, { headers: { range: 'bytes=1000-' } })
    const inside = await ask(site.edge, path, { headers: { range: 'bytes=2000-2999' } })

    expect(near.statusCode).toBe(206)
    expect(near.headers['content-range']).toBe(`bytes 1000-${size - 1}/${size}`)
    expect(near.headers['content-length']).toBe(String(size - 1000))
    expect(inside.status).toBe(206)
    expect(inside.body.equals(layer.bytes.subarray(2000, 3000))).toBe(true)

    stall.release()
    expect((await wholeBody).equals(layer.bytes)).toBe(true)
    expect((await buffer(near)).equals(layer.bytes.subarray(1000))).toBe(true)
    expect(site.upstream.count({ method: 'GET', kind: 'blob' })).toBe(1)
  })

  test('open ranges that the client leaves early, as containerd fetches in parallel, cost upstream one blob', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
    const path = `/v2/library/x/blobs/${layer.digest}`
    const size = layer.bytes.length
    const part = Math.ceil(size / 4)

    const parts = [0, 1, 2, 3].map(async (at) => {
      const response = await open(site.edge, path, { headers: { range: `bytes=${at * part}-` } })
      return readThenLeave(
        response,
        response.statusCode === 206 ? at * part : 0,
        Math.min(size, (at + 1) * part),
      )
    })
    const chunks = await Promise.all(parts)

    for (const { from, bytes } of chunks) {
      expect(bytes.equals(layer.bytes.subarray(from, from + bytes.length))).toBe(true)
    }
    const whole = await ask(site.edge, path)
    expect(whole.body.equals(layer.bytes)).toBe(true)
    expect(site.upstream.blobBytes(layer.digest)).toBeLessThanOrEqual(size * 1.05)
  })
})

describe('what makes clients turn elsewhere', () => {
  test('what upstream does not have, or does not give us, is not found', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    const absent = `sha256:${'0'.repeat(64)}`
    await expectError(site.edge, '/v2/library/x/manifests/2', 404, 'MANIFEST_UNKNOWN')
    await expectError(site.edge, `/v2/library/x/manifests/${absent}`, 404, 'MANIFEST_UNKNOWN')
    await expectError(site.edge, `/v2/library/x/blobs/${absent}`, 404, 'BLOB_UNKNOWN')
    await expectError(site.edge, '/v2/library/x/manifests/1?ns=registry.invalid', 404, 'NAME_UNKNOWN')

    for (const [tag, status] of Object.entries({ a: 401, b: 403, c: 404 })) {
      using _refused = site.upstream.fault({ on: { kind: 'manifest', reference: tag }, status })
      await expectError(site.edge, `/v2/library/x/manifests/${tag}`, 404, 'MANIFEST_UNKNOWN')
    }
  })

  test('a rate limit of upstream is not passed on', async () => {
    await using site = await startMirror()
    site.upstream.addImage('library/x', '1', ociIndex)
    site.upstream.fault({ on: { kind: 'manifest' }, status: 429, headers: { 'retry-after': '60' } })

    const { headers } = await expectError(site.edge, '/v2/library/x/manifests/1', 503, 'UNAVAILABLE')

    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
  })

  for (const status of [500, 502, 503, 504]) {
    test(`an upstream that answers ${status} is unavailable`, async () => {
      await using site = await startMirror()
      site.upstream.fault({ on: { kind: 'manifest' }, status })

      await expectError(site.edge, '/v2/library/x/manifests/1', 503, 'UNAVAILABLE')
    })
  }

  test('an upstream that says nothing for too long is unavailable, before clients give up', async () => {
    await using site = await startMirror({ registry: { timeouts: { head: '1s' } } })
    site.upstream.addImage('library/x', '1', ociIndex)
    await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
    using _silent = site.upstream.fault({ on: { kind: 'blob' }, stallBeforeStatus: true })

    await expectError(site.edge, `/v2/library/x/blobs/${layer.digest}`, 503, 'UNAVAILABLE')
  })

  test('with upstream down an image is promised only when all of it is here', async () => {
    await using site = await startMirror()
    const other = buildImage({ seed: 'other', layers: [100, 200] })
    site.upstream.addImage('library/x', '1', ociIndex)
    site.upstream.addImage('library/y', '1', other)
    await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
    await ask(site.edge, '/v2/library/x/manifests/1')
    await pull(site.edge, 'library/y', other)
    await site.upstream.stop()
    for (const _ of [1, 2])
      await expectError(site.edge, '/v2/library/x/manifests/unheard-of', 503, 'UNAVAILABLE')

    await expectError(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`, 503, 'UNAVAILABLE')
    await expectError(site.edge, `/v2/library/x/blobs/${layer.digest}`, 503, 'UNAVAILABLE')
    await pull(site.edge, 'library/y', other)

    await site.upstream.restart()
    await expect
      .poll(async () => (await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)).status, {
        timeout: 10_000,
      })
      .toBe(200)
  })
})

describe('which registry is meant', () => {
  test('by ns, by path, and by default', async () => {
    await using hub = await startUpstream()
    await using github = await startUpstream()
    const registry = {
      kind: 'registry',
      name: 'github',
      type: 'docker-registry',
      url: github.url,
      ns: 'ghcr.io',
    }
    const project = { kind: 'project', name: 'ghcr.io', proxy: 'github', public: true }
    await using edge = await startEdge({
      policies: { 'site.yaml': mirrorPolicy(hub, { more: [registry, project] }) },
    })
    hub.addImage('library/x', '1', ociIndex)
    github.addImage('acme/x', '1', dockerList)

    const found = async (path: string) => {
      const { status, headers } = await ask(edge, path)
      return [status, headers['docker-content-digest']]
    }
    const first = [200, ociIndex.manifest.digest]
    const second = [200, dockerList.manifest.digest]
    expect(await found('/v2/library/x/manifests/1?ns=docker.io')).toEqual(first)
    expect(await found('/v2/docker.io/library/x/manifests/1')).toEqual(first)
    expect(await found('/v2/library/x/manifests/1')).toEqual(first)
    expect(await found('/v2/acme/x/manifests/1?ns=ghcr.io')).toEqual(second)
    expect(await found('/v2/acme/x/manifests/1?ns=ghcr%2Eio')).toEqual(second)
    expect(await found('/v2/ghcr.io/acme/x/manifests/1')).toEqual(second)
    expect((await ask(edge, '/v2/acme/x/manifests/1')).status).toBe(404)
  })
})

interface Mirror extends AsyncDisposable {
  edge: Edge
  upstream: Upstream
}

async function startMirror(options: { upstream?: UpstreamOptions; registry?: object } = {}): Promise<Mirror> {
  await using owned = new AsyncDisposableStack()
  const upstream = owned.use(await startUpstream(options.upstream))
  const policies = { 'site.yaml': mirrorPolicy(upstream, { registry: options.registry ?? {} }) }
  const edge = owned.use(await startEdge({ policies }))
  const held = owned.move()
  return { edge, upstream, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

/** On a connection of its own; nothing is decoded. */
function ask(edge: Edge, path: string, question?: FetchOptions): Promise<Fetched> {
  return fetchBlob(new URL(path, edge.url).href, { ...question, keep: true })
}

function open(edge: Edge, path: string, question?: FetchOptions): Promise<IncomingMessage> {
  return responseTo(new URL(path, edge.url).href, question)
}

/** @returns all that the server says until it ends the connection. */
async function sayUntilTheEnd({ url }: Edge, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(bytes)
  return (await buffer(socket)).toString('latin1')
}

/** GET and HEAD say the same, and in the form of the distribution specification. */
async function expectError(edge: Edge, path: string, status: number, code: string): Promise<Fetched> {
  const answer = await ask(edge, path)
  const head = await ask(edge, path, { method: 'HEAD' })

  const { errors } = JSON.parse(answer.body.toString())
  expect({ path, status: answer.status, errors }).toEqual({
    path,
    status,
    errors: [expect.objectContaining({ code, message: expect.stringMatching(/\w+ \w+/) })],
  })
  expect(answer.headers['content-type']).toMatch(/^application\/json\b/)
  expect({ path, status: head.status, body: head.body.length }).toEqual({ path, status, body: 0 })
  expect(head.headers['content-type']).toBe(answer.headers['content-type'])
  return answer
}

async function pull(edge: Edge, repository: string, image: Image): Promise<void> {
  const manifest = await ask(edge, `/v2/${repository}/manifests/1`)
  expect([manifest.status, manifest.body]).toEqual([200, image.manifest.bytes])
  for (const { digest, bytes } of blobsOf(image)) {
    const blob = await ask(edge, `/v2/${repository}/blobs/${digest}`)
    expect([blob.status, blob.body.equals(bytes)]).toEqual([200, true])
  }
}

/** Reads up to offset `to` of the blob and hangs up. */
async function readThenLeave(
  response: IncomingMessage,
  from: number,
  to: number,
): Promise<{ from: number; bytes: Buffer }> {
  const chunks: Buffer[] = []
  let left = to - from
  for await (const chunk of response) {
    chunks.push(chunk.subarray(0, left))
    left -= chunk.length
    if (left <= 0) break
  }
  response.destroy()
  return { from, bytes: Buffer.concat(chunks) }
}
