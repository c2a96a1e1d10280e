import { spawnSync } from 'node:child_process'
import { mkdir, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import type { Edge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { basic, createPusher, password, type Said, startHosted } from '../support/hosted.ts'
import { buildImage, contentOf } from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { canMount, mountTmpfs } from '../support/tmpfs.ts'
import { describeWith } from '../support/tools.ts'
import { failing } from './support/failing-calls.ts'
import { storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const name = 'team/app'
const shown = basic('admin', password)
const image = buildImage({ layers: [100_000], seed: 'before' })

function blobOf(size: number, seed: string) {
  const bytes = Buffer.from(pseudoRandomBytes(size, seed))
  return { bytes, digest: digestOf(bytes) }
}

async function troublesOf({ url }: Edge): Promise<string[]> {
  const answer = await fetch(`${url}/readyz`)
  expect(answer.status).toBe(200)
  const { degraded = [] } = (await answer.json()) as { degraded?: { code: string; message: string }[] }
  return degraded.map(({ code, message }) => `${code}: ${message}`)
}

const idOf = (location: string) => /uploads\/([^?]*)/.exec(location)?.[1] ?? ''
const draftsIn = async (edge: Edge) =>
  (await readdir(join(edge.data, 'uploads'))).filter((file) => file.endsWith('.upload'))

async function pulled(edge: Edge, digest: string): Promise<string | number> {
  const { status, sha256 } = await fetchBlob(`${edge.url}/v2/${name}/blobs/${digest}`, { headers: shown })
  return status === 200 ? sha256 : status
}

function expectRefused({ status, code }: Said, kind: 'NO_ROOM' | 'UNAVAILABLE'): void {
  expect([status, code]).toEqual([kind === 'NO_ROOM' ? 507 : 503, kind])
}

/** What was pushed before can be pulled, the process lives, and the next push goes through and ends the trouble. */
async function expectRecovered(edge: Edge): Promise<void> {
  const client = createPusher(edge)
  const put = () => client.pushBlob(name, blobOf(3 * MiB, 'after'))
  await expect.poll(async () => (await put()).status, { timeout: 5000 }).toBe(201)
  await expect.poll(() => troublesOf(edge), { timeout: 5000 }).toEqual([])
  expect(await pulled(edge, image.manifest.digest)).toBe(image.manifest.digest)
  expect((await client.pushImage(name, buildImage({ layers: [1000], seed: 'next' }), '2')).status).toBe(201)
  await storedDigests(edge.data)
  expect(edge.output()).not.toMatch(/uncaught exception|unhandled rejection/)
}

describeWith(['strace'], 'a disk that cannot sync', () => {
  test('what is pushed: it is refused and gone, and the node says so', { timeout: 60_000 }, async () => {
    await using edge = await startHosted()
    const client = createPusher(edge)
    await client.pushImage(name, image, '1')
    const { bytes, digest } = blobOf(2 * MiB, 'lost')
    const location = await client.begin(name)
    {
      const file = join(edge.data, 'uploads', `${idOf(location)}.upload`)
      await using _ = await failing(edge.pid, 'sync', file, 'EIO')
      expectRefused(await client.send('PUT', `${location}&digest=${digest}`, { body: bytes }), 'UNAVAILABLE')
    }
    expect(await troublesOf(edge)).toEqual([
      'disk-broken: the disk takes no pushes: it fails to read or write',
    ])
    expect(await edge.metrics('outport_trouble', { code: 'disk-broken' })).toBe(1)
    expect(await pulled(edge, digest)).toBe(404)
    expect(await draftsIn(edge)).toEqual([])
    await expectRecovered(edge)
  })

  test('the middle of an upload: what is in its memory is not taken for what is on it', {
    timeout: 60_000,
  }, async () => {
    await using edge = await startHosted()
    const client = createPusher(edge)
    await client.pushImage(name, image, '1')
    const location = await client.begin(name)
    const { bytes, digest } = blobOf(70 * MiB, 'lost')
    {
      const file = join(edge.data, 'uploads', `${idOf(location)}.upload`)
      await using _ = await failing(edge.pid, 'datasync', file, 'EIO')
      // Whichever of the two finds it out: what comes after that is no upload any more.
      const patched = await client.send('PATCH', location, { body: bytes })
      if (patched.status !== 202) expectRefused(patched, 'UNAVAILABLE')
      await expect.poll(async () => (await client.send('GET', location)).status).toBe(404)
    }
    const put = await client.send('PUT', `${location}&digest=${digest}`)
    expect([put.status, put.code]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    expect(await edge.metrics('outport_uploads_ended_total', { outcome: 'failed' })).toBe(1)
    expect(await draftsIn(edge)).toEqual([])
    await expectRecovered(edge)
  })

  test('has no room although it said so: 507, and what came before can be gone on with', {
    timeout: 60_000,
  }, async () => {
    await using edge = await startHosted()
    const client = createPusher(edge)
    await client.pushImage(name, image, '1')
    const { bytes, digest } = blobOf(3 * MiB, 'first')
    const first = await client.send('PATCH', await client.begin(name), { body: bytes.subarray(0, MiB) })
    const location = first.headers.get('location') ?? ''
    {
      const file = join(edge.data, 'uploads', `${idOf(location)}.upload`)
      await using _ = await failing(edge.pid, 'write', file, 'ENOSPC')
      expectRefused(await client.send('PATCH', location, { body: bytes.subarray(MiB) }), 'NO_ROOM')
    }
    expect(await troublesOf(edge)).toEqual(['disk-full: the disk takes no pushes: it is full'])
    expect((await client.send('GET', location)).headers.get('range')).toBe(`0-${MiB - 1}`)
    const put = await client.send('PUT', `${location}&digest=${digest}`, { body: bytes.subarray(MiB) })
    expect(put.status).toBe(201)
    await expectRecovered(edge)
  })
})

describe.skipIf(!canMount())('tmpfs: a disk that others have filled', () => {
  test('refuses pushes until there is room again', { timeout: 60_000 }, async () => {
    await using disk = await mountTmpfs('60m')
    await using edge = await startHosted({ data: join(disk.path, 'data') })
    const client = createPusher(edge)
    await client.pushImage(name, image, '1')
    const { bavail, bsize } = await statfs(disk.path)
    const ballast = join(disk.path, 'ballast')
    await writeFile(ballast, Buffer.alloc(bavail * bsize - 2 * MiB))

    expectRefused(await client.pushBlob(name, blobOf(20 * MiB, 'large')), 'NO_ROOM')
    const troubles = await troublesOf(edge)
    expect(troubles).toContain(
      'disk-full: the disk is full of other things than the cache, which therefore gives nothing up',
    )
    expect(troubles.join()).toContain('cache-full: pushes are refused: no room for')
    expect(await pulled(edge, image.manifest.digest)).toBe(image.manifest.digest)

    await rm(ballast)
    await expectRecovered(edge)
  })

  test('is read-only: pushes are refused, pulls go on', { timeout: 60_000 }, async () => {
    await using folder = await temporaryDirectory()
    const [behind, data] = [join(folder.path, 'behind'), join(folder.path, 'data')]
    for (const each of [behind, data]) await mkdir(each)
    spawnSync('mount', ['--bind', behind, data])
    await using _ = { [Symbol.asyncDispose]: async () => void spawnSync('umount', ['--lazy', data]) }
    await using edge = await startHosted({ data })
    const client = createPusher(edge)
    await client.pushImage(name, image, '1')
    spawnSync('mount', ['--bind', '-o', 'ro', behind, data])
    try {
      expectRefused(await client.send('POST', `/v2/${name}/blobs/uploads/`), 'UNAVAILABLE')
      const empty = contentOf(mediaTypes.ociIndex, Buffer.from('{"schemaVersion":2,"manifests":[]}'))
      expectRefused(await client.putManifest(name, empty, 'empty'), 'UNAVAILABLE')
      expect(await troublesOf(edge)).toContain('disk-full: the disk takes no pushes: it is read-only')
      expect(await pulled(edge, image.manifest.digest)).toBe(image.manifest.digest)
    } finally {
      spawnSync('umount', [data])
    }
    await expectRecovered(edge)
  })
})
