import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { maxManifestBytes, mediaTypes } from '../../src/oci/manifest.ts'
import type { Edge } from '../support/edge.ts'
import { basic, createPusher, type Pusher, password, type Said, startHosted } from '../support/hosted.ts'
import {
  buildImage,
  buildIndex,
  buildReferrer,
  type Content,
  contentOf,
  type Image,
} from '../support/images.ts'
import { pull } from '../support/pull.ts'

let edge: Edge
let client: Pusher
let count = 0

beforeAll(async () => {
  edge = await startHosted({ more: [{ kind: 'project', name: 'loose', sparse: true }] })
  client = createPusher(edge)
})

afterAll(() => edge[Symbol.asyncDispose]())

const imageOf = (layers = [500], format: 'oci' | 'docker' = 'oci') =>
  buildImage({ layers, format, seed: `image ${count++}` })
const nameOf = () => `team/app${count++}`
const manifestOf = (mediaType: string, body: object): Content =>
  contentOf(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...body })))
const descriptorOf = ({ mediaType, digest, bytes }: Content) => ({ mediaType, digest, size: bytes.length })
const get = (name: string, reference: string) => client.send('GET', `/v2/${name}/manifests/${reference}`)
const tagsOf = async (name: string, query = '') =>
  (
    JSON.parse((await client.send('GET', `/v2/${name}/tags/list${query}`)).body.toString()) as {
      tags: string[]
    }
  ).tags

async function pushBlobs(name: string, { config, layers }: Image): Promise<void> {
  for (const blob of [config, ...layers]) expect((await client.pushBlob(name, blob)).status).toBe(201)
}

function expectStored(got: Said, { mediaType, digest, bytes }: Content): void {
  expect([got.status, got.headers.get('content-type'), got.headers.get('docker-content-digest')]).toEqual([
    200,
    mediaType,
    digest,
  ])
  expect(got.body.equals(bytes)).toBe(true)
}

describe('pushing manifests', () => {
  test.each(['oci', 'docker'] as const)('an image and an index, by tag and by digest: %s', async (format) => {
    const name = nameOf()
    const index = buildIndex([{ image: imageOf([100, 200], format) }, { image: imageOf([300], format) }], {
      format,
    })
    const put = await client.pushIndex(name, index, 'v1')
    expect([put.status, put.headers.get('docker-content-digest')]).toEqual([201, index.manifest.digest])
    expect(put.headers.get('location')).toBe(`/v2/${name}/manifests/${index.manifest.digest}`)
    for (const reference of ['v1', index.manifest.digest])
      expectStored(await get(name, reference), index.manifest)
    const whole = await pull(edge.url, name, 'v1', { headers: basic('admin', password) })
    expect(whole.digest).toBe(index.manifest.digest)
  })

  test('byte for byte, also what a program would write otherwise', async () => {
    const name = nameOf()
    const image = imageOf()
    await pushBlobs(name, image)
    const body = JSON.parse(image.manifest.bytes.toString())
    const bytes = Buffer.from(`\n${JSON.stringify({ zzz: [1e3], ...body, 'x.y': null }, null, 3)}  \n`)
    const manifest = contentOf(image.manifest.mediaType, bytes)
    expect((await client.putManifest(name, manifest, 'odd')).status).toBe(201)
    expectStored(await get(name, 'odd'), manifest)
  })

  test('by its SHA-512', async () => {
    const name = nameOf()
    const image = imageOf()
    await pushBlobs(name, image)
    const manifest = { ...image.manifest, digest: digestOf(image.manifest.bytes, 'sha512') }
    expect((await client.putManifest(name, manifest)).status).toBe(201)
    expectStored(await get(name, manifest.digest), manifest)
    expect((await get(name, image.manifest.digest)).status).toBe(404)
  })

  test('several tags at once, all or none', async () => {
    const name = nameOf()
    const image = imageOf()
    await pushBlobs(name, image)
    const put = (query: string) =>
      client.putManifest(name, image.manifest, `${image.manifest.digest}${query}`)
    expect((await put('?tag=1&tag=..')).code).toBe('TAG_INVALID')
    expect((await put(`?${Array.from({ length: 51 }, (_, at) => `tag=t${at}`).join('&')}`)).status).toBe(414)
    expect((await client.putManifest(name, image.manifest, 'x?tag=1')).status).toBe(400)
    expect((await client.send('GET', `/v2/${name}/manifests/1`)).status).toBe(404)
    const done = await put('?tag=1.2.3&tag=1.2&tag=1&tag=latest')
    expect([done.status, done.headers.get('oci-tag')]).toEqual([201, '1.2.3, 1.2, 1, latest'])
    expect(await tagsOf(name)).toEqual(['1', '1.2', '1.2.3', 'latest'])
  })

  test('a tag moves', async () => {
    const name = nameOf()
    const [first, second] = [imageOf(), imageOf()]
    for (const image of [first, second, first]) {
      await client.pushImage(name, image, 'latest')
      expectStored(await get(name, 'latest'), image.manifest)
    }
  })

  test('what has no layers, layers that are elsewhere, data, a type of its own', async () => {
    const name = nameOf()
    const config = contentOf('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
    await client.pushBlob(name, config)
    const absent = digestOf(Buffer.from('elsewhere'))
    const elsewhere = { digest: absent, size: 1234, urls: ['https://store.example/x'] }
    const layers = [
      [],
      [{ ...elsewhere, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' }],
      [
        {
          ...elsewhere,
          urls: undefined,
          mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
        },
      ],
      [{ ...descriptorOf(config), data: config.bytes.toString('base64') }],
    ]
    for (const each of layers) {
      const manifest = manifestOf(mediaTypes.ociManifest, {
        artifactType: 'application/x.thing',
        config: descriptorOf(config),
        layers: each,
      })
      expect((await client.putManifest(name, manifest)).status).toBe(201)
      expectStored(await get(name, manifest.digest), manifest)
    }
    const empty = manifestOf(mediaTypes.ociIndex, { manifests: [] })
    expect((await client.putManifest(name, empty, 'empty')).status).toBe(201)
    expect((await client.send('GET', `/v2/${name}/blobs/${absent}`)).status).toBe(404)
  })

  test('is refused while what it points to is not in the repository', async () => {
    const name = nameOf()
    const image = imageOf()
    const index = buildIndex([{ image }])
    await client.pushIndex('team/elsewhere', index)
    for (const manifest of [image.manifest, index.manifest]) {
      const put = await client.putManifest(name, manifest, 'v1')
      expect([put.status, put.code]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    }
    await client.pushBlob(name, image.config)
    const detail = JSON.parse((await client.putManifest(name, image.manifest, 'v1')).body.toString())
      .errors[0].detail
    expect(detail).toEqual(image.layers.map(({ digest }) => ({ digest })))
    // Digest laundering: no failed push has opened what others hold.
    expect((await client.send('GET', `/v2/${name}/blobs/${image.layers[0]?.digest}`)).status).toBe(404)
    expect((await get(name, 'v1')).status).toBe(404)
  })

  test('may point to what is not there where the project says so', async () => {
    const index = buildIndex([{ image: imageOf() }, { image: imageOf() }])
    const [first] = index.images
    if (first) await client.pushImage('loose/app', first)
    expect((await client.putManifest('loose/app', index.manifest, 'v1')).status).toBe(201)
    expectStored(await get('loose/app', 'v1'), index.manifest)
  })

  test('is refused with a size that a blob has not', async () => {
    const name = nameOf()
    const image = imageOf()
    await pushBlobs(name, image)
    const body = JSON.parse(image.manifest.bytes.toString())
    body.layers[0].size += 1
    const put = await client.putManifest(
      name,
      contentOf(image.manifest.mediaType, Buffer.from(JSON.stringify(body))),
    )
    expect([put.status, put.code]).toEqual([400, 'MANIFEST_INVALID'])
    expect((await client.send('GET', `/v2/${name}/blobs/${image.layers[0]?.digest}`)).status).toBe(200)
  })

  const good = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }
  const json = (body: unknown) => Buffer.from(JSON.stringify(body))
  test.each([
    ['nothing', mediaTypes.ociIndex, Buffer.alloc(0)],
    ['no JSON', mediaTypes.ociIndex, Buffer.from('{')],
    ['something behind it', mediaTypes.ociIndex, Buffer.concat([json(good), Buffer.from('x')])],
    ['a byte order mark', mediaTypes.ociIndex, Buffer.concat([Buffer.from('\ufeff'), json(good)])],
    ['UTF-16', mediaTypes.ociIndex, Buffer.from(JSON.stringify(good), 'utf16le')],
    ['a list', mediaTypes.ociIndex, json([good])],
    ['another type than it says', mediaTypes.ociManifest, json(good)],
    ['no type at all', '', json(good)],
    ['a type that nobody knows', 'application/json', json(good)],
    ['both layers and manifests', mediaTypes.ociIndex, json({ ...good, layers: [] })],
    ['schema 1', 'application/vnd.docker.distribution.manifest.v1+json', json({ schemaVersion: 1 })],
    [
      'a digest that is none',
      mediaTypes.ociIndex,
      json({ ...good, manifests: [{ digest: '../x', size: 1 }] }),
    ],
    ['a subject that is none', mediaTypes.ociIndex, json({ ...good, subject: { digest: 'x', size: 1 } })],
  ])('is refused with %s', async (_, type, bytes) => {
    const put = await client.send('PUT', '/v2/team/bad/manifests/v1', {
      headers: { 'content-type': type },
      body: bytes,
    })
    expect([put.status, put.code]).toEqual([400, 'MANIFEST_INVALID'])
    expect((await get('team/bad', 'v1')).status).toBe(404)
  })

  test('is refused with another digest, and above 4 MiB, whether its length is known or not', async () => {
    const { manifest } = imageOf()
    const wrong = await client.putManifest('team/bad', manifest, digestOf(Buffer.from('x')))
    expect([wrong.status, wrong.code]).toEqual([400, 'DIGEST_INVALID'])
    const large = Buffer.alloc(maxManifestBytes + 1, ' ')
    for (const body of [large, ReadableStream.from([large, large])]) {
      const headers = { 'content-type': mediaTypes.ociIndex }
      const put = await client.send('PUT', '/v2/team/bad/manifests/v1', { headers, body })
      expect([put.status, put.code]).toEqual([413, 'MANIFEST_INVALID'])
    }
    const most = Buffer.concat([json(good), Buffer.alloc(maxManifestBytes - json(good).length, ' ')])
    expect((await client.putManifest('team/bad', contentOf(mediaTypes.ociIndex, most), 'most')).status).toBe(
      201,
    )
  })
})

describe('content management', () => {
  test('deleting a tag leaves the manifest', async () => {
    const name = nameOf()
    const image = imageOf()
    await client.pushImage(name, image, 'v1')
    await client.putManifest(name, image.manifest, 'v2')
    expect((await client.send('DELETE', `/v2/${name}/manifests/v1`)).status).toBe(202)
    expect((await client.send('DELETE', `/v2/${name}/manifests/v1`)).code).toBe('MANIFEST_UNKNOWN')
    expect((await get(name, 'v1')).status).toBe(404)
    expect((await get(name, image.manifest.digest)).status).toBe(200)
    expect(await tagsOf(name)).toEqual(['v2'])
  })

  test('deleting a manifest takes its tags along, and stays in other repositories', async () => {
    const [name, other] = [nameOf(), nameOf()]
    const image = imageOf()
    for (const each of [name, other]) await client.pushImage(each, image, 'v1')
    await client.putManifest(name, image.manifest, 'v2')
    expect((await client.send('DELETE', `/v2/${name}/manifests/${image.manifest.digest}`)).status).toBe(202)
    for (const reference of ['v1', 'v2', image.manifest.digest])
      expect((await get(name, reference)).status).toBe(404)
    expect(await tagsOf(name)).toEqual([])
    expectStored(await get(other, 'v1'), image.manifest)
    await edge.restart()
    expect((await get(name, 'v1')).status).toBe(404)
    expectStored(await get(other, 'v1'), image.manifest)
    await client.putManifest(name, image.manifest, 'v1')
    expectStored(await get(name, 'v1'), image.manifest)
  })

  test('deleting a blob takes it from that repository at once, whoever asks for it elsewhere meanwhile', async () => {
    const [name, other] = [nameOf(), nameOf()]
    const { layers } = imageOf()
    const [layer] = layers
    if (!layer) throw new Error('no layer')
    const at = (each: string) => client.send('GET', `/v2/${each}/blobs/${layer.digest}`)
    for (const each of [name, other]) await client.pushBlob(each, layer)
    expect((await client.send('DELETE', `/v2/${name}/blobs/${layer.digest}`)).status).toBe(202)
    for (let round = 0; round < 3; round++) {
      expect((await at(name)).code).toBe('BLOB_UNKNOWN')
      expect((await at(other)).status).toBe(200)
    }
    expect((await client.send('DELETE', `/v2/${name}/blobs/${layer.digest}`)).code).toBe('BLOB_UNKNOWN')
    await client.pushBlob(name, layer)
    expect((await at(name)).status).toBe(200)
  })

  test('a manifest that is deleted as a blob leaves no tag that points to nothing', async () => {
    const name = nameOf()
    const image = imageOf()
    await client.pushImage(name, image, 'v1')
    await client.send('DELETE', `/v2/${name}/blobs/${image.manifest.digest}`)
    expect((await get(name, 'v1')).status).toBe(404)
    expect(await tagsOf(name)).toEqual([])
  })

  test('a blob that goes while a manifest comes is either missed or kept', async () => {
    for (let round = 0; round < 10; round++) {
      const name = nameOf()
      const image = imageOf()
      await pushBlobs(name, image)
      const [put, gone] = await Promise.all([
        client.putManifest(name, image.manifest, 'v1'),
        client.send('DELETE', `/v2/${name}/blobs/${image.layers[0]?.digest}`),
      ])
      expect(gone.status).toBe(202)
      expect([201, 404]).toContain(put.status)
      expect((await get(name, 'v1')).status).toBe(put.status === 201 ? 200 : 404)
    }
  })

  test.each([
    ['POST', 'manifests/v1'],
    ['PATCH', 'manifests/v1'],
    ['PUT', `blobs/sha256:${'0'.repeat(64)}`],
    ['PUT', 'blobs/uploads/'],
    ['DELETE', 'tags/list'],
    ['PUT', `referrers/sha256:${'0'.repeat(64)}`],
  ])('there is nothing else to be done: %s %s', async (method, path) => {
    const { status, code } = await client.send(method, `/v2/team/app/${path}`)
    expect([status, code]).toEqual([405, 'UNSUPPORTED'])
  })
})

describe('listing', () => {
  test('tags come in their order, page by page', async () => {
    const name = nameOf()
    const image = imageOf()
    await pushBlobs(name, image)
    const tags = ['1', '10', '2', 'A', 'V1', 'a', 'latest', 'v1', 'v1.0', 'v10'].sort()
    await client.putManifest(
      name,
      image.manifest,
      `${image.manifest.digest}?${tags.map((tag) => `tag=${tag}`).join('&')}`,
    )
    expect(await tagsOf(name)).toEqual(tags)
    const seen: string[] = []
    for (let path: string | undefined = `/v2/${name}/tags/list?n=3`; path; ) {
      const page = await client.send('GET', path)
      seen.push(...JSON.parse(page.body.toString()).tags)
      path = /^<(.*)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1]
    }
    expect(seen).toEqual(tags)
    const exact = await client.send('GET', `/v2/${name}/tags/list?n=${tags.length}`)
    expect(exact.headers.get('link')).toBe(null)
    expect(await tagsOf(name, '?last=v1')).toEqual(['v1.0', 'v10'])
    expect((await client.send('GET', '/v2/team/nothing/tags/list')).code).toBe('NAME_UNKNOWN')
  })

  test('referrers are found by their subject, also before it is there, and go when they go', async () => {
    const name = nameOf()
    const subject = imageOf()
    const referrers = ['a', 'b', 'b'].map((type, at) =>
      buildReferrer({ subject: subject.manifest, artifactType: `x/${type}`, bytes: Buffer.from(`${at}`) }),
    )
    for (const each of referrers) {
      const put = await client.pushImage(name, each, `r${count++}`)
      expect(put.headers.get('oci-subject')).toBe(subject.manifest.digest)
    }
    const plain = manifestOf(mediaTypes.ociManifest, {
      config: descriptorOf(referrers[0]?.config ?? subject.config),
      layers: [],
      subject: descriptorOf(subject.manifest),
      annotations: { 'org.example': 'yes' },
    })
    await client.putManifest(name, plain)
    await client.pushImage(name, subject)
    const path = `/v2/${name}/referrers/${subject.manifest.digest}`
    const list = async (query = '') => {
      const said = await client.send('GET', `${path}${query}`)
      expect([said.status, said.headers.get('content-type')]).toEqual([200, mediaTypes.ociIndex])
      return { ...said, index: JSON.parse(said.body.toString()) }
    }
    const all = await list()
    expect(all.index).toMatchObject({ schemaVersion: 2, mediaType: mediaTypes.ociIndex })
    expect(new Set(all.index.manifests.map((each: Content) => each.digest))).toEqual(
      new Set([plain.digest, ...referrers.map(({ manifest }) => manifest.digest)]),
    )
    expect(all.index.manifests.find((each: Content) => each.digest === plain.digest)).toEqual({
      ...descriptorOf(plain),
      artifactType: 'application/vnd.oci.empty.v1+json',
      annotations: { 'org.example': 'yes' },
    })
    const some = await list('?artifactType=x%2Fb')
    expect(some.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(some.index.manifests).toHaveLength(2)

    const first = await list('?artifactType=x%2Fb&n=1')
    const next = /^<(.*)>; rel="next"$/.exec(first.headers.get('link') ?? '')?.[1]
    const second = JSON.parse((await client.send('GET', next ?? '')).body.toString())
    expect([...first.index.manifests, ...second.manifests]).toEqual(some.index.manifests)

    for (const { manifest } of referrers)
      await client.send('DELETE', `/v2/${name}/manifests/${manifest.digest}`)
    expect((await list()).index.manifests).toHaveLength(1)
    const other = await client.send('GET', `/v2/team/nothing/referrers/${subject.manifest.digest}`)
    expect(JSON.parse(other.body.toString()).manifests).toEqual([])
  })

  test('what clients list under a tag of their own goes with what is pushed and deleted by others', async () => {
    const name = nameOf()
    const subject = imageOf()
    await client.pushImage(name, subject)
    const [first, second, third] = ['1', '2', '3'].map((text) =>
      buildReferrer({ subject: subject.manifest, artifactType: 'x/a', bytes: Buffer.from(text) }),
    ) as [Image, Image, Image]
    const tag = subject.manifest.digest.replace(':', '-')
    const listed = async () =>
      JSON.parse((await get(name, tag)).body.toString())
        .manifests.map((each: Content) => each.digest)
        .toSorted()
    const digestsOf = (...images: Image[]) => images.map(({ manifest }) => manifest.digest).toSorted()

    await client.pushImage(name, first)
    expect((await get(name, tag)).status).toBe(404)
    const own = { ...descriptorOf(first.manifest), artifactType: 'x/a', annotations: { by: 'a client' } }
    const listing = manifestOf(mediaTypes.ociIndex, { manifests: [own] })
    await client.putManifest(name, listing, tag)
    await Promise.all([second, third].map((each) => client.pushImage(name, each)))
    expect(await listed()).toEqual(digestsOf(first, second, third))
    expect(JSON.parse((await get(name, tag)).body.toString()).manifests).toContainEqual(own)
    expect((await get(name, listing.digest)).status).toBe(404)

    await client.send('DELETE', `/v2/${name}/manifests/${first.manifest.digest}`)
    expect(await listed()).toEqual(digestsOf(second, third))
    await client.send('DELETE', `/v2/${name}/manifests/${tag}`)
    await client.send('DELETE', `/v2/${name}/manifests/${third.manifest.digest}`)
    expect((await get(name, tag)).status).toBe(404)
  })

  test('what clients list under a tag of their own and is not here stays listed', async () => {
    const name = `loose/app${count++}`
    const subject = imageOf()
    const elsewhere = descriptorOf(imageOf().manifest)
    const listing = manifestOf(mediaTypes.ociIndex, { manifests: [elsewhere] })
    const tag = subject.manifest.digest.replace(':', '-')
    expect((await client.putManifest(name, listing, tag)).status).toBe(201)
    await client.pushImage(
      name,
      buildReferrer({ subject: subject.manifest, artifactType: 'x/a', bytes: Buffer.from('here') }),
    )
    const { manifests } = JSON.parse((await get(name, tag)).body.toString())
    expect(manifests).toHaveLength(2)
    expect(manifests).toContainEqual(elsewhere)
  })

  test('many large referrers come in pages that clients can read', async () => {
    const name = nameOf()
    const { manifest } = imageOf()
    const config = contentOf('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
    await client.pushBlob(name, config)
    for (let at = 0; at < 3; at++) {
      const large = manifestOf(mediaTypes.ociManifest, {
        config: descriptorOf(config),
        layers: [],
        subject: descriptorOf(manifest),
        annotations: { at: String(at), large: 'x'.repeat(1_500_000) },
      })
      expect((await client.putManifest(name, large)).status).toBe(201)
    }
    let seen = 0
    for (let path: string | undefined = `/v2/${name}/referrers/${manifest.digest}`; path; ) {
      const page = await client.send('GET', path)
      expect(page.body.length).toBeLessThan(maxManifestBytes)
      seen += JSON.parse(page.body.toString()).manifests.length
      path = /^<(.*)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1]
    }
    expect(seen).toBe(3)
  })
})
