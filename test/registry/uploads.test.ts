import { createHash } from 'node:crypto'
import { readdir, utimes } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { extentBytes } from '../../src/blobs/extents.ts'
import { digestOf } from '../../src/oci/digest.ts'
import type { Edge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { basic, createPusher, type Pusher, password, startHosted } from '../support/hosted.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'

let edge: Edge
let client: Pusher

beforeAll(async () => {
  edge = await startHosted()
  client = createPusher(edge)
})

afterAll(() => edge[Symbol.asyncDispose]())

let count = 0
function blobOf(size: number) {
  const bytes = Buffer.from(pseudoRandomBytes(size, `blob ${count++}`))
  return { bytes, digest: digestOf(bytes), sha512: digestOf(bytes, 'sha512') }
}

async function pulled(digest: string, repository = 'team/app') {
  const { status, sha256, sha512, bytes } = await fetchBlob(`${edge.url}/v2/${repository}/blobs/${digest}`, {
    headers: basic('admin', password),
  })
  return status === 200 ? { digest: digest.startsWith('sha512') ? sha512 : sha256, bytes } : status
}

const uploadsIn = async () => await readdir(join(edge.data, 'uploads'))

describe('pushing a blob monolithically', () => {
  test.each([0, 1, 1000, extentBytes + 1, 5 * 1024 * 1024])('POST, then PUT: %i bytes', async (size) => {
    const { bytes, digest } = blobOf(size)
    const location = await client.begin('team/app')
    const { status, headers } = await client.send('PUT', `${location}&digest=${digest}`, { body: bytes })
    expect(status).toBe(201)
    expect(headers.get('docker-content-digest')).toBe(digest)
    expect(headers.get('location')).toBe(`/v2/team/app/blobs/${digest}`)
    expect(await pulled(digest)).toEqual({ digest, bytes: size })
  })

  test('a single POST', async () => {
    const { bytes, digest } = blobOf(3000)
    const { status } = await client.send('POST', `/v2/team/app/blobs/uploads/?digest=${digest}`, {
      body: bytes,
    })
    expect(status).toBe(201)
    expect(await pulled(digest)).toEqual({ digest, bytes: 3000 })
  })

  test.each(['', '?digest-algorithm=sha512'])('by its SHA-512, begun with %j', async (query) => {
    const { bytes, sha512, digest } = blobOf(100_000)
    const location = await client.begin('team/app', query)
    const { status } = await client.send('PUT', `${location}&digest=${sha512}`, { body: bytes })
    expect(status).toBe(201)
    expect(await pulled(sha512)).toEqual({ digest: sha512, bytes: 100_000 })
    expect(await pulled(digest)).toBe(404)
  })

  test('what is there already', async () => {
    const { bytes, digest } = blobOf(100_000)
    for (const _ of ['once', 'again'])
      expect((await client.pushBlob('team/app', { bytes, digest })).status).toBe(201)
    expect(await pulled(digest)).toEqual({ digest, bytes: 100_000 })
  })

  test('a blob is there after a restart, and read without being hashed as a whole', async () => {
    const { bytes, digest } = blobOf(3 * extentBytes)
    await client.pushBlob('team/app', { bytes, digest })
    expect(await readdir(join(edge.data, 'blobs', 'sha256', digest.slice(7, 9)))).toContain(
      `${digest.slice(7)}.extents`,
    )
    await edge.restart()
    expect(await pulled(digest)).toEqual({ digest, bytes: 3 * extentBytes })
  })

  test.each([
    ['other bytes', digestOf(Buffer.from('x'))],
    ['other bytes by SHA-512', digestOf(Buffer.from('x'), 'sha512')],
  ])('a digest of %s leaves nothing', async (_, digest) => {
    const { bytes, digest: right } = blobOf(1000)
    const location = await client.begin('team/app')
    const put = await client.send('PUT', `${location}&digest=${digest}`, { body: bytes })
    expect([put.status, put.code]).toEqual([400, 'DIGEST_INVALID'])
    const post = await client.send('POST', `/v2/team/app/blobs/uploads/?digest=${digest}`, { body: bytes })
    expect([post.status, post.code]).toEqual([400, 'DIGEST_INVALID'])
    expect(await pulled(digest)).toBe(404)
    expect(await pulled(right)).toBe(404)
    expect((await client.send('GET', location)).code).toBe('BLOB_UPLOAD_UNKNOWN')
  })

  test.each([
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    `sha256:${'A'.repeat(64)}`,
    'sha256:',
    '',
  ])('a digest of another kind is none: %j', async (digest) => {
    const location = await client.begin('team/app')
    const put = await client.send('PUT', `${location}&digest=${digest}`)
    expect([put.status, put.code]).toEqual([400, 'DIGEST_INVALID'])
  })
})

describe('pushing a blob in chunks', () => {
  test('with Content-Range, the last one in the PUT', async () => {
    const { bytes, digest } = blobOf(1_000_000)
    let location = await client.begin('team/app')
    for (const [start, end] of [
      [0, 300_000],
      [300_000, 600_000],
    ] as const) {
      const patched = await client.send('PATCH', location, {
        headers: { 'content-range': `${start}-${end - 1}`, 'content-type': 'application/octet-stream' },
        body: bytes.subarray(start, end),
      })
      expect([patched.status, patched.headers.get('range')]).toEqual([202, `0-${end - 1}`])
      expect(patched.headers.get('docker-upload-uuid')).toMatch(/^[0-9a-f-]{36}$/)
      location = patched.headers.get('location') ?? ''
      const looked = await client.send('GET', location)
      expect([looked.status, looked.headers.get('range')]).toEqual([204, `0-${end - 1}`])
    }
    const put = await client.send('PUT', `${location}&digest=${digest}`, {
      headers: { 'content-range': '600000-999999' },
      body: bytes.subarray(600_000),
    })
    expect(put.status).toBe(201)
    expect(await pulled(digest)).toEqual({ digest, bytes: 1_000_000 })
  })

  test('without, as a stream of no known length', async () => {
    const { bytes, digest } = blobOf(3_000_000)
    const location = await client.begin('team/app')
    const pieces = ReadableStream.from([
      bytes.subarray(0, 10),
      bytes.subarray(10, 2_000_000),
      bytes.subarray(2_000_000),
    ])
    const patched = await client.send('PATCH', location, { body: pieces })
    expect([patched.status, patched.headers.get('range')]).toEqual([202, '0-2999999'])
    const put = await client.send('PUT', `${patched.headers.get('location')}&digest=${digest}`)
    expect(put.status).toBe(201)
    expect(await pulled(digest)).toEqual({ digest, bytes: 3_000_000 })
  })

  test.each([
    ['ahead', '2000-2999'],
    ['behind', '0-999'],
    ['nowhere', 'x-y'],
  ])('out of order is 416, and the upload goes on where it was: %s', async (_, range) => {
    const { bytes, digest } = blobOf(2000)
    const first = await client.send('PATCH', await client.begin('team/app'), {
      headers: { 'content-range': '0-999' },
      body: bytes.subarray(0, 1000),
    })
    const location = first.headers.get('location') ?? ''
    for (const [method, path] of [
      ['PATCH', location],
      ['PUT', `${location}&digest=${digest}`],
    ] as const) {
      const wrong = await client.send(method, path, {
        headers: { 'content-range': range },
        body: bytes.subarray(1000),
      })
      expect([wrong.status, wrong.code]).toEqual([416, 'RANGE_INVALID'])
      if (range !== 'x-y') expect(wrong.headers.get('range')).toBe('0-999')
    }
    const looked = await client.send('GET', location)
    expect([looked.status, looked.headers.get('range')]).toEqual([204, '0-999'])
    const put = await client.send('PUT', `${looked.headers.get('location')}&digest=${digest}`, {
      headers: { 'content-range': '1000-1999' },
      body: bytes.subarray(1000),
    })
    expect(put.status).toBe(201)
  })

  test('a range that says more or less than the body brings is refused, and its bytes are gone', async () => {
    const { bytes, digest } = blobOf(2000)
    const first = await client.send('PATCH', await client.begin('team/app'), {
      body: bytes.subarray(0, 1000),
    })
    const location = first.headers.get('location') ?? ''
    const lies = [
      { range: '1000-1998', body: bytes.subarray(1000) },
      { range: '1000-2000', body: bytes.subarray(1000) },
      { range: '1000-1998', body: ReadableStream.from([bytes.subarray(1000)]) },
      { range: '1000-2000', body: ReadableStream.from([bytes.subarray(1000)]) },
    ]
    const large = Buffer.alloc(900_000)
    lies.push({ range: '1000-1500000', body: ReadableStream.from([large, large, large]) })
    for (const { range, body } of lies) {
      const lie = await client.send('PATCH', location, { headers: { 'content-range': range }, body })
      expect([lie.status, lie.code]).toEqual([400, 'SIZE_INVALID'])
    }
    expect((await client.send('GET', location)).headers.get('range')).toBe('0-999')
    const put = await client.send('PUT', `${location}&digest=${digest}`, { body: bytes.subarray(1000) })
    expect(put.status).toBe(201)
  })

  test('a request that is sent again because its answer got lost begins where it began', async () => {
    const { bytes, digest } = blobOf(300_000)
    const location = await client.begin('team/app')
    await breakOff('PUT', `${location}&digest=${digest}`, bytes, 200_000)
    await expect.poll(async () => (await client.send('GET', location)).headers.get('range')).not.toBe('0-0')
    const put = await client.send('PUT', `${location}&digest=${digest}`, { body: bytes })
    expect(put.status).toBe(201)
    expect((await client.send('PUT', `${location}&digest=${digest}`, { body: bytes })).status).toBe(201)
    expect(await pulled(digest)).toEqual({ digest, bytes: 300_000 })
  })

  test('what was acknowledged is not sent again', async () => {
    const { bytes } = blobOf(2000)
    const location = await client.begin('team/app')
    expect((await client.send('PATCH', location, { body: bytes })).status).toBe(202)
    const replayed = await client.send('PATCH', location, { body: bytes })
    expect([replayed.status, replayed.headers.get('range')]).toEqual([416, '0-1999'])
  })
})

/** Sends the head and so much of the body, and leaves. */
function breakOff(method: string, path: string, bytes: Buffer, length: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const sent = request(new URL(path, edge.url), {
    method,
    headers: { ...basic('admin', password), 'content-length': bytes.length },
  })
  sent.on('error', () => {}).once('close', resolve)
  sent.write(bytes.subarray(0, length), () => setTimeout(() => sent.destroy(), 50))
  return promise
}

describe('an upload', () => {
  test.each([
    ['a lost connection', async () => {}],
    ['a restart', () => edge.restart()],
    [
      'a kill',
      async () => {
        await edge.kill()
        await edge.restart()
      },
    ],
  ])('goes on after %s where it was', async (_, interrupt) => {
    const { bytes, digest } = blobOf(2_000_000)
    const first = await client.send('PATCH', await client.begin('team/app'), {
      body: bytes.subarray(0, 700_000),
    })
    const location = first.headers.get('location') ?? ''
    await breakOff('PATCH', location, bytes.subarray(700_000), 600_000)
    await interrupt()

    await expect
      .poll(async () => endOf((await client.send('GET', location)).headers.get('range')))
      .toBeGreaterThan(700_000)
    const looked = await client.send('GET', location)
    const offset = endOf(looked.headers.get('range')) + 1
    expect(offset).toBeLessThanOrEqual(1_300_000)
    const put = await client.send('PUT', `${looked.headers.get('location')}&digest=${digest}`, {
      headers: { 'content-range': `${offset}-1999999` },
      body: bytes.subarray(offset),
    })
    expect(put.status).toBe(201)
    expect(await pulled(digest)).toEqual({ digest, bytes: 2_000_000 })
  })

  test('belongs to the request that came last', async () => {
    const { bytes, digest } = blobOf(1_000_000)
    const location = await client.begin('team/app')
    const never = new ReadableStream<Uint8Array>({ start: (body) => body.enqueue(bytes.subarray(0, 1000)) })
    const first = client.send('PATCH', location, { body: never }).catch(() => undefined)
    await expect.poll(async () => uploadsIn()).not.toEqual([])
    const put = await client.send('PUT', `${location}&digest=${digest}`, { body: bytes })
    expect(put.status).toBe(201)
    expect((await first)?.status ?? 400).toBe(400)
  })

  test('is cancelled', async () => {
    const location = await client.begin('team/app')
    const patched = await client.send('PATCH', location, { body: Buffer.alloc(1000) })
    expect((await client.send('DELETE', patched.headers.get('location') ?? '')).status).toBe(204)
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const gone = await client.send(method, location, method === 'PATCH' ? { body: Buffer.alloc(1) } : {})
      expect([gone.status, method === 'GET' ? 'BLOB_UPLOAD_UNKNOWN' : gone.code]).toEqual([
        404,
        'BLOB_UPLOAD_UNKNOWN',
      ])
    }
  })

  test('with which nobody goes on for a day is dropped', async () => {
    const [kept, left] = [await client.begin('team/app'), await client.begin('team/app')]
    const file = join(edge.data, 'uploads', `${/uploads\/([^?]*)/.exec(left)?.[1]}.upload`)
    await client.send('PATCH', left, { body: Buffer.alloc(1000) })
    const daysAgo = new Date(Date.now() - 25 * 3_600_000)
    await edge.stop()
    await utimes(file, daysAgo, daysAgo)
    await edge.restart()
    await expect.poll(async () => (await client.send('GET', left)).status).toBe(404)
    expect((await client.send('GET', kept)).status).toBe(204)
  })

  test('leaves nothing when it is over', async () => {
    const before = await uploadsIn()
    const { bytes, digest } = blobOf(1_000_000)
    await client.pushBlob('team/app', { bytes, digest })
    expect(await uploadsIn()).toEqual(before)
  })
})

describe('what a client carries from request to request', () => {
  test('is good for its upload, its repository and this site alone', async () => {
    await using other = await startHosted({ env: { OUTPORT_SITE: 'elsewhere' } })
    const location = await client.begin('team/app')
    const second = await client.begin('team/app')
    const [path = '', state = ''] = location.split('?_state=')
    const [secondPath = ''] = second.split('?_state=')
    const [text = '', signature = ''] = state.split('.')
    const open = JSON.parse(Buffer.from(text, 'base64url').toString())
    const forged = Buffer.from(JSON.stringify({ ...open, offset: 7 })).toString('base64url')
    const emptyKey = createHash('sha256').update(forged).digest('base64url')
    const wrong = [
      path,
      `${path}?_state=`,
      `${path}?_state=${state.slice(0, -1)}`,
      `${path}?_state=${text}.`,
      `${path}?_state=${forged}.${signature}`,
      `${path}?_state=${forged}.${emptyKey}`,
      `${path}?_state=${state}.x`,
      `${secondPath}?_state=${state}`,
      location.replace('team/app', 'team/other'),
      location.replace('team/app', 'open/app'),
      location.replace(/uploads\/[^?]*/, 'uploads/..%2f..%2fkeys'),
    ]
    for (let at = 0; at < state.length; at += 7) {
      const flipped = state[at] === 'A' ? 'B' : 'A'
      wrong.push(`${path}?_state=${state.slice(0, at)}${flipped}${state.slice(at + 1)}`)
    }
    for (const each of wrong.filter((each) => each !== location)) {
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const query =
          method === 'PUT' ? `${each.includes('?') ? '&' : '?'}digest=${digestOf(Buffer.alloc(0))}` : ''
        const { status } = await client.send(method, `${each}${query}`)
        expect([each, status]).toEqual([each, 404])
      }
    }
    expect((await createPusher(other).send('GET', location)).status).toBe(404)
    expect((await client.send('GET', `${location}&_state=${state}`)).status).toBe(400)
    expect((await client.send('GET', location)).status).toBe(204)
  })
})

function endOf(range: string | null): number {
  return Number(range?.split('-')[1])
}
