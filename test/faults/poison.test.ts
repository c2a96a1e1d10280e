import { describe, expect, test } from 'vitest'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { buildImage } from '../support/images.ts'
import { rawRequest } from '../support/raw-request.ts'
import type { FaultEffects } from '../support/upstream.ts'
import { type FaultSite, layerOf, repository, startSite } from './support/site.ts'

const image = buildImage({ layers: [1000] })
const layer = layerOf(image)
const digest = `sha256:${'a'.repeat(64)}`

const paths = [
  '/v2/library/app/manifests/%',
  '/v2/library/app/manifests/%ff%fe',
  '/v2/library/app/manifests/sha256:',
  `/v2/library/app/manifests/${'x'.repeat(6000)}`,
  `/v2/${'a/'.repeat(3000)}manifests/1`,
  '/v2//manifests/1',
  '/v2/../../etc/passwd',
  '/v2/%2e%2e/%2e%2e/manifests/1',
  '/v2/library/app/blobs/sha256:%00',
  '/v2/library/app/blobs/__proto__',
  '/v2/__proto__/constructor/manifests/toString',
  '/v2/library/app/tags/list?n=-1&last=%00',
  '/v2/library/app/tags/list?n=1e309',
  '/v2/library/app/tags/list?n=2&n=3',
  `/v2/library/app/referrers/${digest}?artifactType=%ff`,
  '/v2/library/app/manifests/1?ns=%00',
  '/v2/library/app/manifests/1?ns=http://127.0.0.1:1/',
  '/v2/library/app/manifests/1?ns=__proto__',
  '*',
  'http://[::1',
  'http://other.test/v2/library/app/manifests/1',
]

const headers = [
  'Range: bytes=9-1',
  'Range: bytes=99999999999999999999-',
  `Range: bytes=${'0-0,'.repeat(1500)}1-1`,
  'Range: lines=1-2',
  'If-None-Match: "',
  'If-Range: \u0080',
  'Accept: ,,;;q=,*/*;q=a',
  'Authorization: Basic %%%',
  'Authorization: Bearer a.b.c',
  'Host: [::1',
  'Host: a b',
  'Content-Length: 5\r\nTransfer-Encoding: chunked',
  'Expect: something',
  'Via: 1.1 ,,,',
  'X-Forwarded-For: \u00ff',
]

test('whatever a request says, it is answered without a 500, and the process goes on', async () => {
  await using site = await startSite({ image })
  const { port } = site.edge
  const blob = `/v2/library/app/blobs/${layer.digest}`
  const requests = [
    ...paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    ...headers.map(
      (header) =>
        `GET ${blob} HTTP/1.1\r\n${header.startsWith('Host') ? '' : 'Host: x\r\n'}${header}\r\nConnection: close\r\n\r\n`,
    ),
    `BREW ${blob} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET ${blob} HTTP/9.9\r\n\r\n`,
    `GET ${blob}\u0000 HTTP/1.1\r\nHost: x\r\n\r\n`,
    `PUT ${blob} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `GET ${blob} HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(5000)}\r\n`,
  ]

  for (const request of requests) {
    const { status } = await rawRequest('127.0.0.1', port, Buffer.from(request, 'latin1'))
    expect({ request: request.slice(0, 90), status }).not.toMatchObject({ status: 500 })
    expect(status, request.slice(0, 90)).toBeDefined()
  }
  await expectWell(site)
})

const manifestBodies: Record<string, Buffer> = {
  nothing: Buffer.alloc(0),
  null: Buffer.from('null'),
  'a list': Buffer.from('[]'),
  'a number too large': Buffer.from('1e999'),
  'deep nesting': Buffer.from('['.repeat(200_000)),
  'deep nesting in a manifest': Buffer.from(
    `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
  ),
  __proto__: Buffer.from(`{"__proto__":{"mediaType":"${mediaTypes.ociManifest}"},"constructor":1}`),
  'no UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
  'UTF-16': Buffer.from('\ufeff{"schemaVersion":2}', 'utf16le'),
  'descriptors of other kinds': Buffer.from(
    `{"schemaVersion":2,"mediaType":"${mediaTypes.ociManifest}","config":7,"layers":{"0":null}}`,
  ),
  'sizes that are none': Buffer.from(
    `{"schemaVersion":2,"mediaType":"${mediaTypes.ociManifest}","config":{"digest":"${digest}","size":-1},"layers":[{"digest":"${digest}","size":1e300}]}`,
  ),
  'a digest that is a path': Buffer.from(
    `{"schemaVersion":2,"mediaType":"${mediaTypes.ociManifest}","config":{"digest":"sha256:../../../x","size":1},"layers":[]}`,
  ),
  'more than a manifest may be': Buffer.alloc(5 * 1024 * 1024, ' '),
}

describe('whatever upstream sends as a manifest, the request gets an error and the process goes on', () => {
  for (const [what, body] of Object.entries(manifestBodies)) {
    test(what, async () => {
      await using site = await startSite({ image })
      site.upstream.addManifest(repository, 'bad', body, mediaTypes.ociManifest)

      const get = await site.askTag('bad')

      expect(get.status).toBe(503)
      expect(JSON.parse(get.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
      await expectWell(site)
    })
  }
})

const long = 'x'.repeat(9000)
const poisonedAnswers: Record<string, FaultEffects> = {
  'a challenge without sense': { status: 401, headers: { 'WWW-Authenticate': 'Bearer realm="' } },
  'a challenge to nowhere': {
    status: 401,
    headers: { 'WWW-Authenticate': 'Bearer realm="::::",service=,scope' },
  },
  'a challenge that is long': {
    status: 401,
    headers: { 'WWW-Authenticate': `Bearer realm="http://${long}/"` },
  },
  'a redirect to nothing': { status: 307, headers: { Location: 'http://' } },
  'a redirect without a place': { status: 307 },
  'a redirect to a file': { redirect: 'file:///etc/passwd' },
  'a Retry-After from another calendar': {
    status: 503,
    headers: { 'Retry-After': 'the day after tomorrow' },
  },
  'a Content-Range without sense': { status: 206, headers: { 'Content-Range': 'bytes -/-' } },
  'a length without end': { headers: { 'Content-Length': '99999999999999999' }, truncateAt: 5 },
  'a digest that is none': { contentDigest: 'sha256:x' },
  'a digest that is a path': { contentDigest: 'sha256:../../x' },
  'a Link without end': { headers: { Link: `<${long}>; rel="next"` } },
  'an encoding nobody knows': { headers: { 'Content-Encoding': 'snappy' } },
  'a broken gzip': { headers: { 'Content-Encoding': 'gzip' } },
  'a type without sense': { contentType: ';;;' },
  'a header too large': { headers: { 'X-Large': 'x'.repeat(100_000) } },
  'JSON that is none': { status: 200, body: Buffer.from('{"tags":') },
  'JSON of another shape': { status: 200, body: Buffer.from('{"tags":7,"manifests":"x","token":[]}') },
}

describe('whatever upstream says around its content, no request ends with a 500 and the process goes on', () => {
  for (const [what, effects] of Object.entries(poisonedAnswers)) {
    test(what, async () => {
      await using site = await startSite({ image })
      site.upstream.addImage(repository, 'new', buildImage({ layers: [500], seed: 'new' }))
      const fault = site.upstream.fault({ on: () => true, ...effects })

      for (const path of [
        'manifests/new',
        'tags/list',
        `referrers/${image.manifest.digest}`,
        `blobs/${layer.digest}`,
      ]) {
        for (const method of ['HEAD', 'GET']) {
          const { status } = await site.ask(path, { method })
          expect({ path, method, status }).not.toMatchObject({ status: 500 })
        }
      }
      fault[Symbol.dispose]()
      await expectWell(site)
    })
  }
})

/** The same process answers the next request, and nothing has been caught at the last moment. */
async function expectWell(site: FaultSite): Promise<void> {
  await expect
    .poll(() => site.askBlob(layer), { timeout: 20_000, interval: 200 })
    .toMatchObject({ status: 200, complete: true, sha256: layer.digest })
  expect((await fetch(`${site.edge.url}/livez`)).status).toBe(200)
  expect(site.edge.output()).not.toMatch(/uncaught|unhandled|"level":"fatal"/i)
}
