import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Edge, mirrorPolicies } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { rawRequest } from '../support/raw-request.ts'
import { startUpstream } from '../support/upstream.ts'
import { doorOf, getCert, type OwnTls, ownTls } from './support/own-tls.ts'

const image = buildImage({ layers: [1000], seed: 'redirect' })
const owned = new AsyncDisposableStack()
let own: OwnTls
let edge: Edge
let port: string

beforeAll(async () => {
  const upstream = owned.use(await startUpstream())
  upstream.addImage('library/app', '1', image)
  own = owned.use(await ownTls(mirrorPolicies(upstream)))
  await own.run('tls', 'init', 'edge.example', '*.sites.example', '127.0.0.1', '::1')
  edge = owned.use(
    await own.start({
      OUTPORT_LISTEN: 'http://127.0.0.1:0,https://127.0.0.1:0',
      OUTPORT_MIRROR_LISTEN: 'http://127.0.0.1:0',
      OUTPORT_TLS_REDIRECT: 'on',
    }),
  )
  port = new URL(await doorOf(edge, 'https')).port
})
afterAll(() => owned.disposeAsync())

const ask = (head: string, host: string, body = '') =>
  rawRequest('127.0.0.1', edge.port, `${head} HTTP/1.1\r\nHost: ${host}\r\n\r\n${body}`)

test.each([
  ['GET /v2/', 'edge.example:5000', 'edge.example', '/v2/'],
  [
    'HEAD /v2/library/app/manifests/1?ns=docker.io',
    'edge.example',
    'edge.example',
    '/v2/library/app/manifests/1?ns=docker.io',
  ],
  ['GET /service/token?service=x', 'EDGE.example:80', 'edge.example', '/service/token?service=x'],
  ['PUT /v2/library/app/manifests/1', 'a.sites.example', 'a.sites.example', '/v2/library/app/manifests/1'],
  ['DELETE /v2/library/app/manifests/1', '127.0.0.1:5000', '127.0.0.1', '/v2/library/app/manifests/1'],
  ['GET /', '[::1]:5000', '[::1]', '/'],
  ['GET //other.example/%2e%2e/x', 'edge.example', 'edge.example', '//other.example/%2e%2e/x'],
  ['GET http://other.example/v2/', 'edge.example', 'edge.example', '/v2/'],
])('%s to %s is led to the same over https', async (head, host, name, path) => {
  const { status, headers, body } = await ask(head, host)
  expect([status, headers.location, body]).toEqual([308, `https://${name}:${port}${path}`, ''])
})

test.each([
  'other.example',
  'sites.example',
  'a.b.sites.example',
  'edge.example.other.example',
  'edge.example.',
  'edge.example@other.example',
  'other.example#edge.example',
  'edge.example:5000:80',
  'edge.example:x',
  '127.0.0.2',
  '[::2]',
  '127.1',
])('nobody is led to %s, which is not in a certificate', async (host) => {
  const { status, headers } = await ask('GET /v2/', host)
  expect(headers).not.toHaveProperty('location')
  expect([400, 421]).toContain(status)
})

test('a request without a host is led nowhere', async () => {
  const { status, headers } = await rawRequest('127.0.0.1', edge.port, 'GET /v2/ HTTP/1.0\r\n\r\n')
  expect([status, headers.location]).toEqual([421, undefined])
})

test('what looks after the node, and what a client needs before it can trust it, stays', async () => {
  for (const page of ['/livez', '/readyz', '/metrics', getCert])
    expect((await fetchBlob(edge.url + page)).status).toBe(200)
})

test('a pull that follows it is whole', async () => {
  const first = await fetchBlob(`${edge.url}/v2/library/app/manifests/1`)
  const { body } = await fetchBlob(String(first.headers.location), { ca: await own.ca(), keep: true })
  expect(body.equals(image.manifest.bytes)).toBe(true)
})

test('a door with no https door in its list serves as before', async () => {
  expect((await fetchBlob(`${edge.mirrorUrl}/v2/library/app/manifests/1`)).status).toBe(200)
})
