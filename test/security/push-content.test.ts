import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { maxManifestBytes, mediaTypes } from '../../src/oci/manifest.ts'
import type { Edge } from '../support/edge.ts'
import { basic, createPusher, type Pusher, password, startHosted } from '../support/hosted.ts'
import { buildImage, type Content, contentOf, type Image } from '../support/images.ts'
import { rawRequest } from '../support/raw-request.ts'

/** The node is started again. */
const patient = { timeout: 120_000 }
let edge: Edge
let client: Pusher
let count = 0

beforeAll(async () => {
  edge = await startHosted({ more: [{ kind: 'project', name: 'loose', sparse: true, public: true }] })
  client = createPusher(edge)
})

afterAll(() => edge[Symbol.asyncDispose]())

const nameOf = () => `team/content${count++}`
const imageOf = () => buildImage({ layers: [500], seed: `content ${count++}` })
const descriptorOf = ({ mediaType, digest, bytes }: Content) => ({ mediaType, digest, size: bytes.length })
const statusOf = async (path: string) => (await client.send('GET', `/v2/${path}`)).status
const layerOf = ({ layers }: Image) => layers[0] as Content

function manifestOf(body: object, mediaType: string = mediaTypes.ociManifest): Content {
  return contentOf(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...body })))
}

describe('a digest that is known', () => {
  test(
    'opens nothing by a manifest that names it, also where manifests may name what is not there',
    patient,
    async () => {
      const secret = imageOf()
      await client.pushImage('team/secret', secret, '1')
      const config = contentOf('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
      await client.pushBlob('loose/launder', config)
      const evil = manifestOf({ config: descriptorOf(config), layers: [descriptorOf(layerOf(secret))] })
      const index = manifestOf({ manifests: [descriptorOf(secret.manifest)] }, mediaTypes.ociIndex)
      for (const each of [evil, index])
        expect((await client.putManifest('loose/launder', each, `t${count++}`)).status).toBe(201)
      for (let round = 0; round < 2; round++) {
        for (const path of [
          `blobs/${layerOf(secret).digest}`,
          `blobs/${secret.config.digest}`,
          `blobs/${secret.manifest.digest}`,
          `manifests/${secret.manifest.digest}`,
        ]) {
          expect([path, await statusOf(`loose/launder/${path}`)]).toEqual([path, 404])
          const nobody = createPusher(edge, {})
          expect([path, (await nobody.send('GET', `/v2/loose/launder/${path}`)).status]).toEqual([path, 404])
        }
        await edge.restart()
      }
      expect(await statusOf(`team/secret/blobs/${layerOf(secret).digest}`)).toBe(200)
    },
  )

  test('of a blob that is another by name is nothing to be mounted, and neither is what was deleted', async () => {
    const [name, other] = [nameOf(), nameOf()]
    const bytes = Buffer.from(`by its other name ${count++}`)
    const [sha256, sha512] = [digestOf(bytes), digestOf(bytes, 'sha512')]
    expect((await client.pushBlob(name, { bytes, digest: sha512 })).status).toBe(201)
    const mount = (digest: string) =>
      client.send('POST', `/v2/${other}/blobs/uploads/?mount=${digest}&from=${name}`)
    expect((await mount(sha256)).status).toBe(202)
    expect(await statusOf(`${other}/blobs/${sha256}`)).toBe(404)
    expect((await client.send('DELETE', `/v2/${name}/blobs/${sha512}`)).status).toBe(202)
    expect((await mount(sha512)).status).toBe(202)
    expect((await client.send('POST', `/v2/${other}/blobs/uploads/?mount=${sha512}`)).status).toBe(202)
    expect(await statusOf(`${other}/blobs/${sha512}`)).toBe(404)
  })

  test('is gone from a repository for good, however warm it is elsewhere', patient, async () => {
    const [name, other] = [nameOf(), nameOf()]
    const image = imageOf()
    for (const each of [name, other]) await client.pushImage(each, image, '1')
    const paths = [`blobs/${layerOf(image).digest}`, `manifests/${image.manifest.digest}`]
    for (const path of paths) expect((await client.send('DELETE', `/v2/${name}/${path}`)).status).toBe(202)
    for (let round = 0; round < 2; round++) {
      for (const path of paths) {
        const [here, there] = await Promise.all([statusOf(`${other}/${path}`), statusOf(`${name}/${path}`)])
        expect([path, here, there]).toEqual([path, 200, 404])
        expect((await client.send('HEAD', `/v2/${name}/${path}`)).status).toBe(404)
      }
      await edge.restart()
    }
  })
})

describe('a manifest and a blob', () => {
  test('are not taken for one another', async () => {
    const name = nameOf()
    const image = imageOf()
    for (const blob of [image.config, ...image.layers]) await client.pushBlob(name, blob)
    await client.pushBlob(name, image.manifest)
    expect(await statusOf(`${name}/manifests/${image.manifest.digest}`)).toBe(404)
    const gone = await client.send('DELETE', `/v2/${name}/manifests/${image.manifest.digest}`)
    expect([gone.status, gone.code]).toEqual([404, 'MANIFEST_UNKNOWN'])
    expect((await client.putManifest(name, image.manifest, '1')).status).toBe(201)
    const got = await client.send('GET', `/v2/${name}/manifests/1`)
    expect([got.status, got.headers.get('content-type')]).toEqual([200, image.manifest.mediaType])
  })

  const ambiguous = (text: string) => text.replaceAll('DIGEST', digestOf(Buffer.from('x')))
  const image = '"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"'
  const config = '"config":{"digest":"DIGEST","size":1}'
  test.each([
    ['layers twice', `{${image},${config},"layers":[],"layers":[{"digest":"DIGEST","size":1}]}`],
    ['layers and Layers', `{${image},${config},"layers":[],"Layers":[{"digest":"DIGEST","size":1}]}`],
    ['LAYERS alone', `{${image},${config},"LAYERS":[]}`],
    ['layers by another s', `{${image},${config},"layers":[],"layer\u017f":[]}`],
    ['layers in disguise', `{${image},${config},"layers":[],"\\u006cayers":[]}`],
    ['mediaType twice', `{${image},${config},"mediaType":"application/vnd.oci.image.index.v1+json"}`],
    ['Manifests in an image', `{${image},${config},"layers":[],"Manifests":[]}`],
    ['subject twice', `{${image},${config},"subject":null,"subject":{"digest":"DIGEST","size":1}}`],
  ])('with keys that programs read differently is refused: %s', async (_, text) => {
    const bytes = Buffer.from(ambiguous(text))
    const put = await client.putManifest(nameOf(), contentOf(mediaTypes.ociManifest, bytes), '1')
    expect([put.status, put.code]).toEqual([400, 'MANIFEST_INVALID'])
    expect(put.body.toString()).toMatch(/twice|taken for/)
  })

  test('with such keys where they mean nothing is taken', async () => {
    const name = nameOf()
    const { manifest, config: blob, layers } = imageOf()
    for (const each of [blob, ...layers]) await client.pushBlob(name, each)
    const body = JSON.parse(manifest.bytes.toString())
    const annotations = { Layers: '1', layers: '2', mediaType: 'x' }
    const odd = contentOf(
      manifest.mediaType,
      Buffer.from(JSON.stringify({ ...body, annotations, x: 1, X: 2 })),
    )
    expect((await client.putManifest(name, odd, '1')).status).toBe(201)
  })

  test.each([
    [
      'deeper than any stack',
      Buffer.from(`{"schemaVersion":2,"manifests":[],"x":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`),
    ],
    [
      'as a prototype',
      Buffer.from('{"__proto__":{"schemaVersion":2,"manifests":[]},"constructor":{"name":"x"}}'),
    ],
    [
      'of a size beyond all numbers',
      Buffer.from('{"schemaVersion":2,"manifests":[{"digest":"DIGEST","size":1e400}]}'),
    ],
    [
      'of a list that is a number',
      Buffer.from('{"schemaVersion":2,"manifests":{"length":9007199254740991}}'),
    ],
  ])('that is made to break its reader is taken or refused, and no more: %s', async (_, bytes) => {
    const name = nameOf()
    const put = await client.putManifest(name, contentOf(mediaTypes.ociIndex, bytes), '1')
    expect([201, 400]).toContain(put.status)
    if (put.status === 400) expect(put.code).toBe('MANIFEST_INVALID')
    else expect((await client.send('GET', `/v2/${name}/manifests/1`)).body.equals(bytes)).toBe(true)
  })

  test('of very many parts is answered like another', async () => {
    const name = nameOf()
    const parts = Array.from({ length: 40_000 }, (_, at) => ({
      digest: digestOf(Buffer.from(`${at}`)),
      size: 1,
    }))
    const many = contentOf(
      mediaTypes.ociIndex,
      Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: parts })),
    )
    expect(many.bytes.length).toBeLessThan(maxManifestBytes)
    const put = await client.putManifest(name, many, '1')
    expect([put.status, put.code]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    expect(put.body.length).toBeLessThan(10_000)
    expect((await client.putManifest('loose/many', many, '1')).status).toBe(201)
    expect((await client.send('GET', '/v2/loose/many/manifests/1')).body.equals(many.bytes)).toBe(true)
    expect((await client.send('DELETE', `/v2/loose/many/manifests/${many.digest}`)).status).toBe(202)
  })

  test.each([
    '1',
    digestOf(Buffer.from('x')),
  ])('larger than it may be is refused before it is sent: %s', async (reference) => {
    const text = [
      `PUT /v2/team/large/manifests/${reference} HTTP/1.1`,
      'Host: localhost',
      `Authorization: ${basic('admin', password).authorization}`,
      `Content-Type: ${mediaTypes.ociIndex}`,
      'Content-Length: 1073741824',
      '',
      '',
    ]
    const { status, body } = await rawRequest('127.0.0.1', edge.port, text.join('\r\n'))
    expect([status, JSON.parse(body).errors[0].code]).toEqual([413, 'MANIFEST_INVALID'])
  })
})

test('what a manifest says is elsewhere is never fetched from there', async () => {
  const asked: (string | undefined)[] = []
  const elsewhere = createServer((request, response) => {
    asked.push(request.url)
    response.end('x')
  }).listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  const url = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/layer`
  const name = nameOf()
  const { config } = imageOf()
  await client.pushBlob(name, config)
  const digest = digestOf(Buffer.from('x'))
  const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'
  const layers = [
    { mediaType: foreign, digest, size: 1, urls: [url, 'http://169.254.169.254/latest'] },
    { mediaType: foreign, digest, size: 1, urls: ['file:///etc/passwd'] },
  ]
  const manifest = manifestOf({ config: descriptorOf(config), layers })
  expect((await client.putManifest(name, manifest, '1')).status).toBe(201)
  expect((await client.send('GET', `/v2/${name}/manifests/1`)).body.equals(manifest.bytes)).toBe(true)
  for (const method of ['GET', 'HEAD'])
    expect((await client.send(method, `/v2/${name}/blobs/${digest}`)).status).toBe(404)
  expect(asked).toEqual([])
  elsewhere.close()
})

test('what is pushed is counted by what it is', async () => {
  const name = nameOf()
  const image = imageOf()
  const names = ['outport_manifests_pushed_total', 'outport_blobs_mounted_total'] as const
  const kinds = ['tag', 'manifest', 'blob'] as const
  const counts = () =>
    Promise.all([
      ...names.map((each) => edge.metrics(each)),
      ...kinds.map((kind) => edge.metrics('outport_deletes_total', { kind })),
    ])
  const before = await counts()
  await client.pushImage(name, image, '1')
  const { digest } = layerOf(image)
  await client.send('POST', `/v2/${nameOf()}/blobs/uploads/?mount=${digest}&from=${name}`)
  await client.send('DELETE', `/v2/${name}/manifests/1`)
  await client.send('DELETE', `/v2/${name}/manifests/1`)
  await client.send('DELETE', `/v2/${name}/manifests/${image.manifest.digest}`)
  await client.send('DELETE', `/v2/${name}/blobs/${digest}`)
  expect((await counts()).map((now, at) => now - (before[at] ?? 0))).toEqual([1, 1, 1, 1, 1])
})
