import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage, type Content } from '../support/images.ts'
import { rawRequest } from '../support/raw-request.ts'
import { type FaultEffects, startUpstream, type Upstream } from '../support/upstream.ts'

/** Each fault does on the wire what it says. */

const image = buildImage({ layers: [700_000] })
const layer = image.layers[0] as Content
const size = layer.bytes.length
const path = `/v2/library/app/blobs/${layer.digest}`

async function startFaulty(effects: FaultEffects, times?: number) {
  const upstream = await startUpstream()
  upstream.addImage('library/app', '1', image)
  const fault = upstream.fault({ on: { kind: 'blob', method: 'GET' }, ...(times && { times }), ...effects })
  return { upstream, fault, [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose]() }
}

const ask = ({ url }: Upstream, headers = {}) => fetchBlob(url + path, { keep: true, headers })

/** All that comes until the server ends the connection. */
async function readToEnd({ url }: Upstream): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  return (await buffer(socket)).toString('latin1')
}

for (const [name, effects] of Object.entries({
  'truncate: FIN': { truncateAt: 300_000 },
  'reset: RST': { resetAt: 300_000 },
})) {
  test(`${name} after so many bytes under the full length`, async () => {
    await using site = await startFaulty(effects, 1)

    const cut = await ask(site.upstream)
    await site.fault.struck()
    const next = await ask(site.upstream)

    expect(cut).toMatchObject({ status: 200, bytes: 300_000, complete: false })
    expect(cut.headers['content-length']).toBe(String(size))
    expect(cut.body).toEqual(layer.bytes.subarray(0, 300_000))
    expect(site.upstream.requests[0]?.bodyBytes).toBe(300_000)
    expect(next).toMatchObject({ complete: true, sha256: layer.digest })
  })
}

test('truncate at 0 still gives the head', async () => {
  await using site = await startFaulty({ truncateAt: 0 })

  expect(await ask(site.upstream)).toMatchObject({ status: 200, bytes: 0, complete: false })
})

test('a truncation is an end, a reset is an error', async () => {
  await using ended = await startFaulty({ truncateAt: 10 })
  await using reset = await startFaulty({ resetAt: 10 })

  expect(await readToEnd(ended.upstream)).toMatch(/^HTTP\/1\.1 200 OK/)
  await expect(readToEnd(reset.upstream)).rejects.toMatchObject({ code: 'ECONNRESET' })
})

test('drop resets before any status', async () => {
  await using site = await startFaulty({ drop: true })

  await expect(ask(site.upstream)).rejects.toMatchObject({ code: 'ECONNRESET' })
})

test('stall gives so many bytes and no more until it is released', async () => {
  await using site = await startFaulty({ stallAt: 100_000 })
  let received = 0

  const answer = fetchBlob(site.upstream.url + path, { onProgress: (bytes) => (received = bytes) })
  await site.fault.struck()
  await expect.poll(() => received).toBe(100_000)
  expect(site.upstream.requests[0]?.bodyBytes).toBe(100_000)
  site.fault.release()

  expect(await answer).toMatchObject({ complete: true, sha256: layer.digest })
})

test('stall before the status holds the head back until the fault is disposed', async () => {
  await using site = await startFaulty({ stallBeforeStatus: true })

  const answer = ask(site.upstream)
  await site.fault.struck()
  expect(site.upstream.requests[0]?.status).toBeUndefined()
  site.fault[Symbol.dispose]()

  expect(await answer).toMatchObject({ status: 200, sha256: layer.digest })
  expect(site.fault.hits).toBe(1)
})

test('latency and rate slow one answer', async () => {
  await using site = await startFaulty({ latencyMs: 40, bytesPerSecond: 5_000_000 })

  const { firstByteMs, ms, sha256 } = await ask(site.upstream)

  // Lower bounds: nothing is ever faster than told.
  expect(firstByteMs).toBeGreaterThan(39)
  expect(ms).toBeGreaterThan(39 + size / 5_000 - 5)
  expect(sha256).toBe(layer.digest)
})

test('flip changes one byte of the content, also for a range that holds it', async () => {
  await using site = await startFaulty({ flipAt: 1000 })
  const expected = Buffer.from(layer.bytes)
  expected[1000] = (expected[1000] ?? 0) ^ 0xff

  const whole = await ask(site.upstream)
  const range = await ask(site.upstream, { range: 'bytes=990-1009' })

  expect(whole).toMatchObject({ complete: true, bytes: size })
  expect(whole.body.equals(expected)).toBe(true)
  expect(range.body).toEqual(expected.subarray(990, 1010))
})

test('body swaps the content under the same name', async () => {
  await using site = await startFaulty({ body: Buffer.alloc(size, 'x') })

  const { body, headers } = await ask(site.upstream)

  expect(body.equals(Buffer.alloc(size, 'x'))).toBe(true)
  expect(headers['docker-content-digest']).toBe(layer.digest)
})

test('tail follows the content and is counted', async () => {
  await using site = await startFaulty({ tail: Buffer.from('more') })

  const { body, complete } = await ask(site.upstream)

  expect(complete).toBe(true)
  expect(body.equals(Buffer.concat([layer.bytes, Buffer.from('more')]))).toBe(true)
})

test('a length too long ends early, one too short leaves bytes over', async () => {
  await using long = await startFaulty({ contentLength: size + 10 })
  await using short = await startFaulty({ contentLength: size - 10 })

  const cut = await ask(long.upstream)
  const overfull = await readToEnd(short.upstream)

  expect(cut).toMatchObject({ bytes: size, complete: false })
  expect(overfull).toContain(`Content-Length: ${size - 10}\r\n`)
  expect(overfull.slice(overfull.indexOf('\r\n\r\n') + 4)).toHaveLength(size)
})

test('chunked leaves the length out', async () => {
  await using site = await startFaulty({ chunked: true })

  const { headers, sha256, complete } = await ask(site.upstream)

  expect(headers).toMatchObject({ 'transfer-encoding': 'chunked' })
  expect(headers).not.toHaveProperty('content-length')
  expect({ sha256, complete }).toEqual({ sha256: layer.digest, complete: true })
})

test('gzip encodes without having been asked', async () => {
  await using site = await startFaulty({ gzip: true })

  const { headers, body } = await ask(site.upstream)

  expect(headers['content-encoding']).toBe('gzip')
  expect(gunzipSync(body).equals(layer.bytes)).toBe(true)
})

test('headers are what the fault says', async () => {
  const lie = `sha256:${'0'.repeat(64)}`
  await using site = await startFaulty({
    contentDigest: lie,
    etag: '"other"',
    contentType: 'text/plain',
    contentRange: 'bytes 5-9/10',
    headers: { 'accept-ranges': 'none', 'Accept-Ranges': undefined },
  })

  const { headers, sha256 } = await ask(site.upstream, { range: 'bytes=0-9' })

  expect(headers).toMatchObject({
    'docker-content-digest': lie,
    etag: '"other"',
    'content-type': 'text/plain',
    'content-range': 'bytes 5-9/10',
    'accept-ranges': 'none',
  })
  expect(sha256).not.toBe(lie)
})

test('ignoreRange answers 200 with everything', async () => {
  await using site = await startFaulty({ ignoreRange: true })

  expect(await ask(site.upstream, { range: 'bytes=5-' })).toMatchObject({ status: 200, sha256: layer.digest })
})

test('status, portal and redirect stand in for the answer', async () => {
  await using upstream = await startUpstream()
  upstream.addImage('library/app', '1', image)
  upstream.fault({
    on: { kind: 'blob' },
    times: 1,
    status: 429,
    headers: { 'Retry-After': '7' },
    body: Buffer.from('no'),
  })
  upstream.fault({ on: { kind: 'blob' }, times: 1, html: true })
  upstream.fault({
    on: { kind: 'blob' },
    times: 1,
    redirect: ({ path: asked }) => `http://elsewhere.test${asked}`,
  })

  const [limited, portal, moved] = [await ask(upstream), await ask(upstream), await ask(upstream)]

  expect(limited).toMatchObject({ status: 429, body: Buffer.from('no'), headers: { 'retry-after': '7' } })
  expect(portal).toMatchObject({ status: 200, headers: { 'content-type': 'text/html' } })
  expect(moved).toMatchObject({ status: 307, headers: { location: `http://elsewhere.test${path}` } })
})

test('an interim answer comes before the real one', async () => {
  await using site = await startFaulty({ informational: 103, closeAfter: true })

  const text = await readToEnd(site.upstream)

  expect(text).toMatch(/^HTTP\/1\.1 103 [\s\S]*?\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
})

test('HTTP/1.0 has no length and ends with the connection', async () => {
  await using site = await startFaulty({ http10: true })

  const text = await readToEnd(site.upstream)

  expect(text).toMatch(/^HTTP\/1\.0 200 /)
  expect(text).not.toMatch(/content-length|transfer-encoding/i)
  expect(await ask(site.upstream)).toMatchObject({ sha256: layer.digest })
})

test('closeAfter ends a connection that the answer said would stay', async () => {
  await using site = await startFaulty({ closeAfter: true })

  const text = await readToEnd(site.upstream)

  expect(text).toContain('Connection: keep-alive')
  expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toHaveLength(size)
})

test('a fault strikes what it is meant for, as often as it says', async () => {
  await using site = await startFaulty({ status: 500 }, 2)

  const statuses = []
  for (let at = 0; at < 3; at++) statuses.push((await ask(site.upstream)).status)

  expect(statuses).toEqual([500, 500, 200])
  expect(site.fault.hits).toBe(2)
  expect((await fetchBlob(site.upstream.url + path, { method: 'HEAD' })).status).toBe(200)
})

test('a raw request may be anything, and says how the server took it', async () => {
  await using upstream = await startUpstream()
  const port = Number(new URL(upstream.url).port)

  const fine = await rawRequest('127.0.0.1', port, 'GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
  const broken = await rawRequest('127.0.0.1', port, Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]))

  expect(fine).toMatchObject({ status: 200, body: '{}', closed: false })
  expect(broken).toMatchObject({ status: 400, closed: true })
})
