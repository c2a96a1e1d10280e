import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { emptyIndex } from '../../src/oci/manifest.ts'
import type { Edge } from '../support/edge.ts'
import { basic, createPusher, type Pusher, password, startHosted } from '../support/hosted.ts'
import { buildImage, type Content } from '../support/images.ts'
import { rawRequest } from '../support/raw-request.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const owned = new AsyncDisposableStack()
const image = buildImage({ layers: [5000] })
const layer = image.layers[0] as Content
const shown = basic('admin', password)
const name = 'team/app'
let upstream: Upstream
let edge: Edge
let admin: Pusher
let nobody: Pusher

beforeAll(async () => {
  upstream = owned.use(await startUpstream())
  const more = [
    { kind: 'registry', name: 'hub', type: 'docker-registry', url: upstream.url, ns: 'docker.io' },
    { kind: 'project', name: 'docker.io', proxy: 'hub', public: true },
  ]
  const env = { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0', OUTPORT_METRICS_LISTEN: '127.0.0.1:0' }
  edge = owned.use(await startHosted({ more, env }))
  admin = createPusher(edge)
  nobody = createPusher(edge, {})
  await admin.pushImage(name, image, '1')
})

afterAll(() => owned.disposeAsync())

interface Answer {
  status: number | undefined
  code: string | undefined
  body: string
  /** Nothing more goes over this connection. */
  isLast: boolean
}

/** As no client would write it. */
async function raw(text: string | Buffer, port = edge.port): Promise<Answer> {
  const { status, headers, body, closed } = await rawRequest('127.0.0.1', port, text)
  let code: string | undefined
  try {
    code = JSON.parse(body).errors[0].code
  } catch {}
  return { status, code, body, isLast: closed || headers.connection?.toLowerCase() === 'close' }
}

const head = (line: string, ...headers: string[]) =>
  [line, 'Host: localhost', `Authorization: ${shown.authorization}`, ...headers, '', ''].join('\r\n')
const plain = (line: string) => raw(head(`${line} HTTP/1.1`, 'Connection: close', 'Content-Length: 0'))
const rangeOf = async (location: string) => (await admin.send('GET', location)).headers.get('range')

describe('a path that is not exactly one of the protocol’s', () => {
  const upload = 'blobs/uploads/'
  test.each([
    [`PUT /v2/${name}/manifests/2/`, 404],
    [`PUT //v2/${name}/manifests/2`, 404],
    [`PUT /v2//${name}/manifests/2`, 400],
    [`PUT /v2/./${name}/manifests/2`, 400],
    [`PUT /v2/${name}/../app/manifests/2`, 400],
    [`PUT /v2/${name}/%2e%2e/app/manifests/2`, 400],
    ['PUT /v2/team%2Fapp/manifests/2', 400],
    [`PUT /V2/${name}/manifests/2`, 404],
    [`PUT http://localhost//v2/${name}/manifests/2`, 404],
    [`PUT /v2/${name};x=y/manifests/2`, 400],
    [`PUT /v2/${name}/manifests/..%2f2`, 400],
    [`PUT /v2/${name}/manifests/a+b`, 400],
    [`PUT /v2/${name}/manifests/${'x'.repeat(129)}`, 400],
    [`PUT /v2/${name}/manifests/%D0%B5`, 400],
    [`DELETE /v2/${name}/manifests/1%00`, 400],
    [`DELETE /v2/${name}/blobs/${layer.digest}/`, 404],
    [`DELETE /v2/${name}/blobs/${layer.digest.toUpperCase()}`, 400],
    [`DELETE /v2/${name}/blobs/sha256:${layer.digest.slice(7).toUpperCase()}`, 400],
    [`POST /v2/${name}/${upload}/`, 404],
    [`POST /v2/TEAM/app/${upload}`, 400],
    [`POST /v2/team/a___b/${upload}`, 400],
    [`POST /v2/team/a.-b/${upload}`, 400],
    [`POST /v2/team/-a/${upload}`, 400],
    [`POST /v2/team/a-/${upload}`, 400],
    [`POST /v2/team/.git/${upload}`, 400],
    [`POST /v2/team/${'a'.repeat(255)}/${upload}`, 400],
    [`POST /v2/%ef%bd%94eam/app/${upload}`, 400],
    [`POST /v2/team%00/app/${upload}`, 400],
    [`POST /v2/${name}/${upload}?digest=sha256:../../../etc/passwd`, 400],
    [`POST /v2/${name}/${upload}?digest=md5:d41d8cd98f00b204e9800998ecf8427e`, 400],
    [`POST /v2/${name}/${upload}?digest=sha256%2Bb64u:x`, 400],
    [`POST /v2/${name}/${upload}?digest-algorithm=md5`, 400],
    [`POST /v2/${name}/${upload}?digest=${layer.digest}&digest=${layer.digest}`, 400],
    [`PATCH /v2/${name}/${upload}..%2f..%2fkeys%2fuploads`, 404],
    [`GET /v2/${name}/${upload}../../keys/uploads`, 404],
  ])('is refused, and not tidied up: %s', async (line, status) => {
    const answer = await plain(line)
    expect([line, answer.status, answer.code]).toEqual([line, status, expect.stringMatching(/^[A-Z_]+$/)])
    expect((await admin.send('HEAD', `/v2/${name}/blobs/${layer.digest}`)).status).toBe(200)
    const { tags } = JSON.parse((await admin.send('GET', `/v2/${name}/tags/list`)).body.toString())
    expect(tags).toEqual(['1'])
  })

  test('comes to the same decision at every door, and in every other form', async () => {
    const metrics = edge.logs.find(({ msg, face }) => msg === 'listening' && face === 'metrics')
    const ports = [
      edge.port,
      Number(new URL(edge.mirrorUrl).port),
      Number(new URL(String(metrics?.url)).port),
    ]
    const paths = [
      `/v2/${name}/manifests/1`,
      `/v2/${name}/manifests/${image.manifest.digest}`,
      `/v2/${name}/blobs/${layer.digest}`,
      `/v2/${name}/tags/list`,
      `/v2/${name}/referrers/${image.manifest.digest}`,
      `/v2/${name}/blobs/uploads/`,
    ]
    const forms = (path: string) => [
      path,
      `http://localhost${path}`,
      `${path}?ns=docker.io`,
      `${path}?ns=team`,
      `${path}?ns=`,
      path.replace('/v2/', '/v2//'),
      path.replace('/v2/', '/v2/./'),
      path.replace('team', '%74eam'),
    ]
    const asked = ports.flatMap((port) =>
      paths
        .flatMap(forms)
        .flatMap((path) => ['GET', 'PUT', 'POST', 'DELETE'].map((verb) => ({ port, path, verb }))),
    )
    for (const { port, path, verb } of asked) {
      const text = `${verb} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
      const { status, body } = await raw(text, port)
      // What refers to an image of Docker Hub that goes by this name: nothing does.
      if (status === 200 && path.includes('referrers')) expect(body).toBe(emptyIndex.toString())
      else
        expect([port, verb, path, status]).toEqual([
          port,
          verb,
          path,
          expect.toBeOneOf([400, 401, 403, 404, 405]),
        ])
    }
    expect((await nobody.send('GET', `/v2/${name}/manifests/1`)).status).toBe(401)
    expect(upstream.requests.filter(({ method }) => !/GET|HEAD/.test(method))).toEqual([])
  })

  test.each([
    ['POST', '/v2/library/app/blobs/uploads/?ns=docker.io', 403],
    ['PUT', '/v2/library/app/manifests/1?ns=docker.io', 403],
    ['POST', '/v2/team/app/blobs/uploads/?ns=docker.io', 403],
    ['POST', '/v2/team/app/blobs/uploads/?ns=127.0.0.1', 404],
    ['POST', '/v2/team/app/blobs/uploads/?ns=docker.io&ns=team', 404],
  ])('is no way to push into what is upstream’s: %s %s', async (method, path, status) => {
    expect((await admin.send(method, path)).status).toBe(status)
  })
})

describe('the body of an upload', () => {
  test.each([
    ['two lengths', ['Content-Length: 4', 'Content-Length: 5'], 'abcd'],
    ['a length and chunks', ['Content-Length: 4', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['a coding that nobody knows', ['Transfer-Encoding: xchunked'], '4\r\nabcd\r\n0\r\n\r\n'],
    ['a length that is none', ['Content-Length: 4, 4'], 'abcd'],
    ['a length below nothing', ['Content-Length: -1'], 'abcd'],
    ['a length in hexadecimal', ['Content-Length: 0x4'], 'abcd'],
    ['a space before the colon', ['Content-Length : 4'], 'abcd'],
    ['a folded header', ['X: a', ' Content-Length: 4', 'Content-Length: 4'], 'abcd'],
    ['a chunk without a size', ['Transfer-Encoding: chunked'], 'zz\r\nabcd\r\n0\r\n\r\n'],
    ['a chunk longer than it says', ['Transfer-Encoding: chunked'], '2\r\nabcd\r\n0\r\n\r\n'],
    ['a chunk of all the world', ['Transfer-Encoding: chunked'], 'ffffffffffffffffff\r\nabcd'],
    [
      'a line of a megabyte',
      ['Transfer-Encoding: chunked'],
      `4;${'x'.repeat(1_000_000)}\r\nabcd\r\n0\r\n\r\n`,
    ],
  ])('that is framed with %s ends the connection', async (_, headers, body) => {
    const location = await admin.begin(name)
    const answer = await raw(`${head(`PATCH ${location} HTTP/1.1`, ...headers)}${body}`)
    expect([answer.status ?? 400, answer.isLast]).toEqual([expect.toBeOneOf([400, 413]), true])
    expect(['0-0', '0-1', '0-3']).toContain(await rangeOf(location))
    expect(edge.logs.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('that brings more than it states is cut there, and the rest is no request', async () => {
    const location = await admin.begin(name)
    const { status, isLast } = await raw(
      `${head(`PATCH ${location} HTTP/1.1`, 'Content-Length: 10')}0123456789${'x'.repeat(1000)}\r\n\r\n`,
    )
    expect([202, 400]).toContain(status)
    expect(status === 202 || isLast).toBe(true)
    expect(['0-9', '0-0']).toContain(await rangeOf(location))
  })

  test.each([
    '0-',
    '-5',
    '-5-4',
    '4-0',
    '0-1.5',
    '0x0-0x3',
    '0-9007199254740993',
    `0-${'9'.repeat(400)}`,
    'items 0-3',
    'bytes 0-3/4/5',
  ])('with the range %j is 416, or its length contradicts it', async (range) => {
    const location = await admin.begin(name)
    const sent = await admin.send('PATCH', location, {
      headers: { 'content-range': range },
      body: Buffer.from('abcd'),
    })
    expect([sent.status, sent.code]).toEqual(
      expect.toBeOneOf([
        [416, 'RANGE_INVALID'],
        [400, 'SIZE_INVALID'],
      ]),
    )
    expect(await rangeOf(location)).toBe('0-0')
  })
})

describe('what a client carries from request to request', () => {
  test('is read as nothing else than it is, even with the right signature', async () => {
    const key = await readFile(join(edge.data, 'keys', 'uploads'))
    const [path = '', state = ''] = (await admin.begin(name)).split('?_state=')
    const id = path.split('/').at(-1)
    const signed = (text: string, by: Buffer | string = key) => {
      const encoded = Buffer.from(text).toString('base64url')
      return `${path}?_state=${encoded}.${createHmac('sha256', by).update(encoded).digest('base64url')}`
    }
    const right = Buffer.from(state.split('.')[0] ?? '', 'base64url').toString()
    const but = (change: object) => JSON.stringify({ ...JSON.parse(right), ...change })
    const wrong = [
      ...['', 'secret', 'changeme', 'placeholder', Buffer.alloc(32)].map((by) => signed(right, by)),
      ...['', 'x', '[]', 'null', '{', '{"__proto__":{"offset":0}}', `"${id}"`].map((text) => signed(text)),
      ...[-1, 1.5, '0', null, 1e300].map((offset) => signed(but({ offset }))),
      signed(but({ algorithm: 'md5' })),
      signed(but({ algorithm: '__proto__' })),
      signed(but({ id: '../keys/uploads' })),
      signed(but({ site: 'elsewhere' })),
      signed(but({ repository: 'open/app' })),
    ]
    for (const location of wrong) {
      const { status, code } = await admin.send('PATCH', location, { body: Buffer.from('x') })
      expect([location, status, code]).toEqual([location, 404, 'BLOB_UPLOAD_UNKNOWN'])
    }
    expect((await admin.send('GET', signed(right))).status).toBe(204)
    expect(Object.hasOwn(Object.prototype, 'offset')).toBe(false)
  })

  test('of a state that is over opens nothing again', async () => {
    const bytes = Buffer.from('state that is over')
    const digest = digestOf(bytes)
    const location = await admin.begin(name)
    const first = await admin.send('PATCH', location, { body: bytes })
    const second = first.headers.get('location') ?? ''
    expect((await admin.send('PATCH', location, { body: Buffer.from('other') })).status).toBe(416)
    expect((await admin.send('PUT', `${second}&digest=${digest}`)).status).toBe(201)
    for (const each of [location, second]) {
      for (const method of ['GET', 'PATCH', 'DELETE']) {
        const body = method === 'PATCH' ? { body: Buffer.from('other') } : {}
        expect((await admin.send(method, each, body)).status).toBe(404)
      }
      const other = digestOf(Buffer.from('other'))
      const put = await admin.send('PUT', `${each}&digest=${other}`, { body: Buffer.from('other') })
      expect([put.status, put.code]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    }
    expect((await admin.send('GET', `/v2/${name}/blobs/${digest}`)).body.toString()).toBe(bytes.toString())
  })

  test('by two at a time makes one blob, whole or not at all', async () => {
    for (let round = 0; round < 10; round++) {
      const bytes = Buffer.alloc(300_000, `round ${round}`)
      const digest = digestOf(bytes)
      const location = `${await admin.begin('team/race')}&digest=${digest}`
      const puts = await Promise.all([1, 2, 3].map(() => admin.send('PUT', location, { body: bytes })))
      for (const { status, code } of puts)
        expect([status, code]).toEqual(
          expect.toBeOneOf([
            [201, undefined],
            [400, 'BLOB_UPLOAD_INVALID'],
          ]),
        )
      expect(puts.map(({ status }) => status)).toContain(201)
      const got = await admin.send('GET', `/v2/team/race/blobs/${digest}`)
      expect([got.status, digestOf(got.body)]).toEqual([200, digest])
    }
  })
})
