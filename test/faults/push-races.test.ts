import { expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { createPusher, type Pusher, startHosted } from '../support/hosted.ts'
import { blobsOf, buildImage } from '../support/images.ts'
import { storedDigests } from './support/stored.ts'

const image = buildImage({ layers: [1000], seed: 'raced' })
const other = buildImage({ layers: [1000], seed: 'other' })
const name = 'team/app'
const rounds = 20

/** Everything that the repository's tags point to is there, whole. @returns what they point to */
async function tagsOf(client: Pusher): Promise<Record<string, string>> {
  const listed = await client.send('GET', `/v2/${name}/tags/list`)
  const tags: string[] = listed.status === 200 ? JSON.parse(listed.body.toString()).tags : []
  const found: Record<string, string> = {}
  for (const tag of tags) {
    const { status, body } = await client.send('GET', `/v2/${name}/manifests/${tag}`)
    expect(status).toBe(200)
    found[tag] = digestOf(body)
    expect((await client.send('GET', `/v2/${name}/manifests/${found[tag]}`)).status).toBe(200)
    const { config, layers } = JSON.parse(body.toString())
    for (const { digest } of [config, ...layers])
      expect(digestOf((await client.send('GET', `/v2/${name}/blobs/${digest}`)).body)).toBe(digest)
  }
  return found
}

test('a tag that one pushes while another deletes it is there or not, and what it points to is whole', {
  timeout: 90_000,
}, async () => {
  await using edge = await startHosted()
  const client = createPusher(edge)
  const { digest } = image.manifest
  await client.pushImage(name, image)
  for (let round = 0; round < rounds; round++) {
    const [put, gone] = await Promise.all([
      client.putManifest(name, image.manifest, 'raced'),
      client.send('DELETE', `/v2/${name}/manifests/raced`),
    ])
    expect(put.status).toBe(201)
    expect([202, 404]).toContain(gone.status)
    const tags = await tagsOf(client)
    // Nothing to delete: the tag came afterwards.
    if (gone.status === 404) expect(tags).toEqual({ raced: digest })
    else expect([{}, { raced: digest }]).toContainEqual(tags)
  }
})

test('a manifest that one pushes while another deletes it has its tag, or neither is there', {
  timeout: 90_000,
}, async () => {
  await using edge = await startHosted()
  const client = createPusher(edge)
  const { digest } = image.manifest
  await client.pushImage(name, other, 'kept')
  for (const blob of blobsOf(image)) await client.pushBlob(name, blob)
  for (let round = 0; round < rounds; round++) {
    const [put, gone] = await Promise.all([
      client.putManifest(name, image.manifest, 'raced'),
      client.send('DELETE', `/v2/${name}/manifests/${digest}`),
    ])
    expect(put.status).toBe(201)
    expect([202, 404]).toContain(gone.status)
    const { raced, ...rest } = await tagsOf(client)
    expect(rest).toEqual({ kept: other.manifest.digest })
    if (gone.status === 404) expect(raced).toBe(digest)
    const { status } = await client.send('GET', `/v2/${name}/manifests/${digest}`)
    expect(status).toBe(raced === undefined ? 404 : 200)
  }
})

test('images with common layers that are pushed, mounted and deleted side by side are whole once they are acknowledged', {
  timeout: 90_000,
}, async () => {
  await using edge = await startHosted()
  const client = createPusher(edge)
  const layers = [5_000, 60_000, 300_000]
  const images = [0, 1, 2, 3].map((at) =>
    buildImage({ layers: layers.slice(at % 2), seed: `side ${at % 2}` }),
  )
  async function pushOn(at: number): Promise<void> {
    const [repository, from] = [`team/side${at}`, `team/side${(at + 1) % images.length}`]
    const own = images[at] ?? image
    for (let round = 0; round < rounds / 4; round++) {
      for (const { digest, bytes } of blobsOf(own)) {
        const begun = await client.send(
          'POST',
          `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`,
        )
        if (begun.status === 201) continue
        const location = `${begun.headers.get('location')}&digest=${digest}`
        expect((await client.send('PUT', location, { body: bytes })).status).toBe(201)
      }
      expect((await client.putManifest(repository, own.manifest, '1')).status).toBe(201)
      for (const { digest } of blobsOf(own))
        expect(digestOf((await client.send('GET', `/v2/${repository}/blobs/${digest}`)).body)).toBe(digest)
      for (const gone of [own.manifest, ...blobsOf(own)]) {
        const kind = gone === own.manifest ? 'manifests' : 'blobs'
        expect((await client.send('DELETE', `/v2/${repository}/${kind}/${gone.digest}`)).status).toBe(202)
      }
    }
  }

  await Promise.all(images.map((_, at) => pushOn(at)))

  await storedDigests(edge.data)
})
