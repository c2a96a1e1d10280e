import { once } from 'node:events'
import { readdir, utimes } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import type { Edge } from '../support/edge.ts'
import { basic, createPusher, password, startHosted } from '../support/hosted.ts'
import { buildImage } from '../support/images.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { pull } from '../support/pull.ts'
import { rawRequest } from '../support/raw-request.ts'
import { startUpstream } from '../support/upstream.ts'

const MiB = 1024 * 1024
const name = 'team/app'
/** Nodes are started again. */
const patient = { timeout: 120_000 }
const shown = basic('admin', password)
const empty = digestOf(Buffer.alloc(0))

function blobOf(size: number, seed: string) {
  const bytes = Buffer.from(pseudoRandomBytes(size, seed))
  return { bytes, digest: digestOf(bytes) }
}

const counted = (edge: Edge) => edge.metrics('outport_cache_bytes')
const draftsIn = (edge: Edge) => readdir(join(edge.data, 'uploads'))

function head(method: string, path: string, length: number, ...more: string[]): string {
  const lines = [`Authorization: ${shown.authorization}`, `Content-Length: ${length}`, ...more]
  return [`${method} ${path} HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n')
}

/** A client that has stated a length, sent a little, and been told that the server has begun with it. */
async function stating(edge: Edge, length: number, sent: number): Promise<Socket> {
  const path = await createPusher(edge).begin(name)
  const socket = connect(edge.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  socket.write(head('PATCH', path, length, 'Expect: 100-continue'))
  await once(socket, 'data')
  socket.write(Buffer.alloc(sent))
  return socket
}

function cache(budget: string): object {
  return { kind: 'cache', budget, high: '90%', low: '60%', reserve: '1%' }
}

describe('what is stated', () => {
  test.each([0, 300_000])('takes no room before it comes: %i bytes sent by each', patient, async (sent) => {
    await using edge = await startHosted({ more: [cache('64MiB')] })
    const sockets = await Promise.all(Array.from({ length: 20 }, () => stating(edge, 60 * MiB, sent)))

    const put = await createPusher(edge).pushBlob(name, blobOf(24 * MiB, 'other'))

    expect(put.status).toBe(201)
    for (const socket of sockets) socket.destroy()
  })

  test('and can never fit is refused before it is sent', patient, async () => {
    await using edge = await startHosted({ more: [cache('64MiB')] })
    const terabyte = 1e12
    const client = createPusher(edge)
    const before = await counted(edge)
    const asked = [
      head('PATCH', await client.begin(name), terabyte),
      head('PUT', `${await client.begin(name)}&digest=${empty}`, terabyte),
      head('POST', `/v2/${name}/blobs/uploads/?digest=${empty}`, terabyte),
      head('PATCH', await client.begin(name), 1000, `Content-Range: ${terabyte - 1000}-${terabyte - 1}`),
    ]
    const answers = await Promise.all(asked.map((text) => rawRequest('127.0.0.1', edge.port, text)))

    expect(answers.map(({ status }) => status)).toEqual([507, 507, 507, 416])
    for (const { body } of answers.slice(0, 3)) {
      expect(JSON.parse(body).errors[0]).toMatchObject({
        code: 'NO_ROOM',
        message: `this site has no room for it: ${terabyte} bytes are more than it may keep`,
      })
    }
    expect(await counted(edge)).toBe(before)
    expect(await (await fetch(`${edge.url}/readyz`)).json()).not.toHaveProperty('degraded')
  })
})

describe('an unfinished upload', () => {
  test(
    'counts while nobody goes on with it, after a restart too, and what is cached makes room for it',
    patient,
    async () => {
      await using upstream = await startUpstream()
      const image = buildImage({ layers: [5 * MiB], compression: 'none' })
      upstream.addImage('library/app', '1', image)
      const registry = { kind: 'registry', name: 'hub', type: 'docker-registry', url: upstream.url }
      const mirror = { kind: 'project', name: 'hub', proxy: 'hub', public: true }
      await using edge = await startHosted({ more: [registry, mirror, cache('16MiB')] })
      const client = createPusher(edge)
      await pull(edge.url, 'hub/library/app', '1')
      const { bytes, digest } = blobOf(12 * MiB, 'unfinished')
      const before = await counted(edge)
      expect(before).toBeGreaterThan(5 * MiB)

      const patched = await client.send('PATCH', await client.begin(name), {
        body: bytes.subarray(0, 6 * MiB),
      })
      expect(patched.status).toBe(202)
      expect(await counted(edge)).toBe(before + 6 * MiB)
      await edge.kill()
      await edge.restart()
      // Only now its manifest is counted, too.
      expect(await counted(edge)).toBeGreaterThanOrEqual(before + 6 * MiB)

      const location = patched.headers.get('location') ?? ''
      const put = await client.send('PUT', `${location}&digest=${digest}`, { body: bytes.subarray(6 * MiB) })
      expect(put.status).toBe(201)
      expect(await edge.metrics('outport_evicted_total')).toBeGreaterThan(0)
      expect(await counted(edge)).toBeLessThanOrEqual(16 * MiB)
      expect(await counted(edge)).toBeGreaterThanOrEqual(12 * MiB)
    },
  )

  test('leaves no room for others, until it is cancelled', patient, async () => {
    await using edge = await startHosted({ more: [cache('16MiB')] })
    const client = createPusher(edge)
    const before = await counted(edge)
    const patched = await client.send('PATCH', await client.begin(name), { body: Buffer.alloc(10 * MiB) })
    const other = blobOf(8 * MiB, 'other')
    expect((await client.pushBlob(name, other)).status).toBe(507)
    expect(await counted(edge)).toBe(before + 10 * MiB)
    expect((await client.send('DELETE', patched.headers.get('location') ?? '')).status).toBe(204)
    expect(await counted(edge)).toBe(before)
    expect((await client.pushBlob(name, other)).status).toBe(201)
  })

  test('is dropped for others when nobody has gone on with it for an hour', patient, async () => {
    await using edge = await startHosted({ more: [cache('16MiB')] })
    const client = createPusher(edge)
    const location = await client.begin(name)
    await client.send('PATCH', location, { body: Buffer.alloc(10 * MiB) })
    const [file = ''] = await draftsIn(edge)
    const hoursAgo = new Date(Date.now() - 2 * 3_600_000)
    await edge.stop()
    await utimes(join(edge.data, 'uploads', file), hoursAgo, hoursAgo)
    await edge.restart()
    expect((await client.send('GET', location)).status).toBe(204)
    expect((await client.pushBlob(name, blobOf(8 * MiB, 'other'))).status).toBe(201)
    expect((await client.send('GET', location)).code).toBe('BLOB_UPLOAD_UNKNOWN')
    expect(await edge.metrics('outport_uploads_ended_total', { outcome: 'abandoned' })).toBe(1)
  })
})

test('whatever becomes of an upload, the account is right again', patient, async () => {
  await using edge = await startHosted({ more: [cache('64MiB')] })
  const client = createPusher(edge)
  const before = await counted(edge)
  const { bytes } = blobOf(3 * MiB, 'wrong')
  const query = `?digest=${empty}`

  expect((await client.send('POST', `/v2/${name}/blobs/uploads/${query}`, { body: bytes })).status).toBe(400)
  const put = await client.send('PUT', `${await client.begin(name)}&digest=${empty}`, { body: bytes })
  expect(put.code).toBe('DIGEST_INVALID')
  expect([await counted(edge), await draftsIn(edge)]).toEqual([before, []])

  const liar = await client.begin(name)
  const lie = await client.send('PATCH', liar, {
    headers: { 'content-range': '0-1000000' },
    body: ReadableStream.from([bytes]),
  })
  expect([lie.status, lie.code]).toEqual([400, 'SIZE_INVALID'])
  expect(await counted(edge)).toBe(before)

  const socket = await stating(edge, 8 * MiB, 2 * MiB)
  await expect.poll(() => counted(edge)).toBeGreaterThanOrEqual(before + 2 * MiB - 600_000)
  socket.destroy()
  await expect.poll(() => counted(edge)).toBe(before + 2 * MiB)

  const done = blobOf(2 * MiB, 'done')
  expect((await client.pushBlob(name, done)).status).toBe(201)
  await expect.poll(() => counted(edge)).toBe(before + 4 * MiB)
  expect(await edge.metrics('outport_uploads_begun_total')).toBe(5)
  const outcomes = ['pushed', 'failed', 'cancelled', 'abandoned'] as const
  const ended = outcomes.map((outcome) => edge.metrics('outport_uploads_ended_total', { outcome }))
  expect(await Promise.all(ended)).toEqual([1, 2, 0, 0])
  expect(await edge.metrics('outport_upload_bytes_total')).toBeGreaterThan(10 * MiB)
})
