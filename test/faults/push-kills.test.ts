import { readdir, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import type { Edge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { basic, createPusher, type Pusher, password, startHosted } from '../support/hosted.ts'
import { blobsOf, buildImage, buildIndex, contentOf, type Image } from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { losePages, snapshotOf } from './support/power-cut.ts'
import { type Chance, soak, soakSeconds } from './support/soak.ts'
import { pathOf, storedDigests } from './support/stored.ts'

const shown = basic('admin', password)
const name = 'team/app'

async function pulled(edge: Edge, path: string): Promise<string | number> {
  const { status, sha256 } = await fetchBlob(`${edge.url}/v2/${path}`, { headers: shown })
  return status === 200 ? sha256 : status
}

/** Sends a body piece by piece until it is told to stop, or cut. @returns how much was sent */
async function sendSlowly(
  edge: Edge,
  method: string,
  path: string,
  bytes: Buffer,
  upTo: number,
): Promise<void> {
  const sent = request(new URL(path, edge.url), {
    method,
    headers: { ...shown, 'content-length': bytes.length },
  })
  sent.on('error', () => {})
  for (let at = 0; at < upTo; at += 65_536) {
    const piece = bytes.subarray(at, Math.min(upTo, at + 65_536))
    await new Promise((resolve) => sent.write(piece, resolve))
  }
}

const landedIn = async (edge: Edge, id: string) =>
  (await stat(join(edge.data, 'uploads', `${id}.upload`)).catch(() => ({ size: 0 }))).size

test('killed anywhere in an upload, its last pages lost or not: what is acknowledged is whole, and nothing else is there', {
  timeout: (soakSeconds + 120) * 1000,
}, async () => {
  await using edge = await startHosted()
  const acknowledged = new Set<string>()

  await soak(8, (chance, at) => killOnce(edge, acknowledged, chance, at))

  expect(new Set(await storedDigests(edge.data))).toEqual(acknowledged)
})

async function killOnce(edge: Edge, acknowledged: Set<string>, chance: Chance, at: number): Promise<void> {
  const client = createPusher(edge)
  const bytes = Buffer.from(
    pseudoRandomBytes(1_000_000 + chance.below(3_000_000), `${at} ${chance.below(1e9)}`),
  )
  const digest = digestOf(bytes)
  const location = await client.begin(name)
  const id = /uploads\/([^?]*)/.exec(location)?.[1] ?? ''
  const upTo = chance.below(bytes.length)
  const snapshot = await snapshotOf(join(edge.data, 'uploads'))
  await sendSlowly(edge, 'PATCH', location, bytes, upTo)
  await expect.poll(() => landedIn(edge, id)).toBeGreaterThan(upTo - 600_000)
  await edge.kill()
  const isPowerCut = chance.below(2) === 0
  if (isPowerCut) await losePages(chance, join(edge.data, 'uploads'), snapshot)
  await edge.restart()

  for (const each of acknowledged) expect(await pulled(edge, `${name}/blobs/${each}`)).toBe(each)
  expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(404)
  const looked = await client.send('GET', location)
  const isThere = looked.status === 204
  if (!isPowerCut) expect(isThere).toBe(true)
  if (isThere) {
    const said = Number(looked.headers.get('range')?.split('-')[1])
    const offset = said === 0 ? 0 : said + 1
    if (!isPowerCut) expect(offset).toBe(await landedIn(edge, id))
    const put = await client.send('PUT', `${looked.headers.get('location')}&digest=${digest}`, {
      body: bytes.subarray(offset),
    })
    // Only a power cut may have changed what had come: then nothing is kept.
    if (isPowerCut && put.status !== 201) expect(put.code).toBe('DIGEST_INVALID')
    else expect(put.status).toBe(201)
  }
  if ((await pulled(edge, `${name}/blobs/${digest}`)) === 404)
    expect((await client.pushBlob(name, { bytes, digest })).status).toBe(201)
  expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(digest)
  acknowledged.add(digest)
  expect((await readdir(join(edge.data, 'uploads'))).filter((file) => file.startsWith(id))).toEqual([])
}

/** Starts a node that is killed at `failpoint`, lets `send` bring it there, and starts another on the same data. */
async function killedAt(
  data: string,
  failpoint: string,
  send: (client: Pusher) => Promise<unknown>,
): Promise<Edge> {
  await using victim = await startHosted({ data, env: { OUTPORT_FAILPOINT: `${failpoint}!` } })
  await send(createPusher(victim)).catch(() => {})
  expect((await victim.exited).signal).toBe('SIGKILL')
  return startHosted({ data })
}

/** Several nodes are started one after another. */
const patient = { timeout: 120_000 }

describe('killed at the end of an upload', () => {
  const image = buildImage({ layers: [700_000], compression: 'none' })
  const [, layer] = blobsOf(image)
  const { bytes, digest } = layer ?? { bytes: Buffer.alloc(0), digest: digestOf(Buffer.alloc(0)) }

  test('before it has its name: the same request succeeds', patient, async () => {
    await using folder = await temporaryDirectory()
    let location = ''
    await using edge = await killedAt(folder.path, 'upload-sealed', async (client) => {
      location = `${await client.begin(name)}&digest=${digest}`
      await client.send('PUT', location, { body: bytes })
    })
    expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(404)
    expect((await createPusher(edge).send('PUT', location, { body: bytes })).status).toBe(201)
    expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(digest)
  })

  test('before anything points to it: nobody gets it, and another push links it', patient, async () => {
    await using folder = await temporaryDirectory()
    await using edge = await killedAt(folder.path, 'upload-adopted', (client) =>
      client.pushBlob(name, { bytes, digest }),
    )
    const client = createPusher(edge)
    expect((await stat(pathOf(edge.data, digest))).size).toBe(bytes.length)
    expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(404)
    expect((await client.send('POST', `/v2/${name}/blobs/uploads/?mount=${digest}`)).status).toBe(202)
    expect((await client.pushBlob(name, { bytes, digest })).status).toBe(201)
    expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(digest)
  })
})

describe('killed at a manifest', () => {
  const [before, after] = ['before', 'after'].map((seed) => buildImage({ layers: [1000], seed })) as [
    Image,
    Image,
  ]
  const index = buildIndex([{ image: after }])

  test.each([
    ['manifest-unchecked', false],
    ['manifest-written', false],
    ['manifest-committed', true],
  ])('%s: the tag is old or new, whole in both cases', patient, async (failpoint, isNew) => {
    await using folder = await temporaryDirectory()
    const data = folder.path
    {
      await using edge = await startHosted({ data })
      const client = createPusher(edge)
      await client.pushImage(name, before, 'latest')
      await client.pushImage(name, after)
      await edge.stop()
    }
    const query = `${index.manifest.digest}?tag=latest&tag=more`
    const put = (client: Pusher) => client.putManifest(name, index.manifest, query)
    await using edge = await killedAt(data, failpoint, put)

    const client = createPusher(edge)
    const expected = isNew ? index.manifest.digest : before.manifest.digest
    expect(await pulled(edge, `${name}/manifests/latest`)).toBe(expected)
    // All tags or none.
    expect(await pulled(edge, `${name}/manifests/more`)).toBe(isNew ? index.manifest.digest : 404)
    const listed = JSON.parse((await client.send('GET', `/v2/${name}/tags/list`)).body.toString()).tags
    expect(listed).toEqual(isNew ? ['latest', 'more'] : ['latest'])
    expect((await put(client)).status).toBe(201)
    expect(await pulled(edge, `${name}/manifests/more`)).toBe(index.manifest.digest)
    await storedDigests(data)
  })

  test('a tag that two write at the same time is one of theirs', async () => {
    await using edge = await startHosted()
    const client = createPusher(edge)
    for (const image of [before, after]) await client.pushImage(name, image)
    for (let round = 0; round < 20; round++) {
      const puts = await Promise.all(
        [before, after].map((image) => client.putManifest(name, image.manifest, 'latest')),
      )
      expect(puts.map(({ status }) => status)).toEqual([201, 201])
      const now = await pulled(edge, `${name}/manifests/latest`)
      expect([before.manifest.digest, after.manifest.digest]).toContain(now)
      expect(await pulled(edge, `${name}/manifests/${now}`)).toBe(now)
    }
  })
})

test('a disk that is full is 507 at once, and pulls go on', async () => {
  await using edge = await startHosted({ more: [{ kind: 'cache', budget: '3MiB' }] })
  const client = createPusher(edge)
  const small = buildImage({ layers: [100_000] })
  await client.pushImage(name, small, '1')
  const bytes = Buffer.from(pseudoRandomBytes(8_000_000, 'large'))
  const digest = digestOf(bytes)
  const put = await client.send('PUT', `${await client.begin(name)}&digest=${digest}`, { body: bytes })
  expect([put.status, put.code]).toEqual([507, 'NO_ROOM'])
  const patched = await client.send('PATCH', await client.begin(name), { body: ReadableStream.from([bytes]) })
  expect([patched.status, patched.code]).toEqual([507, 'NO_ROOM'])
  expect(await pulled(edge, `${name}/manifests/1`)).toBe(small.manifest.digest)
  // What was taken for the failed ones is given back.
  const rest = buildImage({ layers: [200_000], seed: 'rest' })
  expect((await client.pushImage(name, rest, '2')).status).toBe(201)
  const empty = contentOf(mediaTypes.ociIndex, Buffer.from('{"schemaVersion":2,"manifests":[]}'))
  expect((await client.putManifest(name, empty, 'empty')).status).toBe(201)
})
