import { describe, expect, test } from 'vitest'
import { mirrorPolicy, startEdge } from '../support/edge.ts'
import { startUpstream } from '../support/upstream.ts'
import {
  amd64,
  ask,
  dockerImage,
  dockerList,
  expectError,
  layer,
  ociIndex,
  sayUntilTheEnd,
  startMirror,
} from './support/mirror.ts'

/** What the recorded behaviour of docker, containerd, podman and skopeo asks of a mirror. */

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
