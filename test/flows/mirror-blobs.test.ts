import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { amd64, ask, layer, ociIndex, open, startMirror } from './support/mirror.ts'

test('nothing is encoded, whatever the client would take', async () => {
  await using site = await startMirror()
  site.upstream.addImage('library/x', '1', ociIndex)
  await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)

  for (const accepted of ['gzip', 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5', 'br, *;q=0.1']) {
    const headers = { 'accept-encoding': accepted }
    const answer = await ask(site.edge, `/v2/library/x/blobs/${layer.digest}`, { headers })

    expect(answer.headers['content-encoding']).toBeUndefined()
    expect(answer.headers['accept-ranges']).toBe('bytes')
    expect(answer.headers['content-length']).toBe(String(layer.bytes.length))
    expect(answer.body.equals(layer.bytes)).toBe(true)
  }
})

test('the head is there as soon as upstream has said it, long before the body', async () => {
  await using site = await startMirror()
  site.upstream.addImage('library/x', '1', ociIndex)
  await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
  using stall = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, stallAt: 1 })

  const response = await open(site.edge, `/v2/library/x/blobs/${layer.digest}`)
  expect(response.statusCode).toBe(200)

  stall.release()
  expect((await buffer(response)).equals(layer.bytes)).toBe(true)
})

test('a range of a blob that is still on its way', async () => {
  await using site = await startMirror()
  site.upstream.addImage('library/x', '1', ociIndex)
  await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
  const path = `/v2/library/x/blobs/${layer.digest}`
  const size = layer.bytes.length
  using stall = site.upstream.fault({ on: { kind: 'blob' }, stallAt: size / 2 })
  const whole = await open(site.edge, path)
  const wholeBody = buffer(whole)
  await stall.struck()

  const near = await open(site.edge, path, { headers: { range: 'bytes=1000-' } })
  const inside = await ask(site.edge, path, { headers: { range: 'bytes=2000-2999' } })

  expect(near.statusCode).toBe(206)
  expect(near.headers['content-range']).toBe(`bytes 1000-${size - 1}/${size}`)
  expect(near.headers['content-length']).toBe(String(size - 1000))
  expect(inside.status).toBe(206)
  expect(inside.body.equals(layer.bytes.subarray(2000, 3000))).toBe(true)

  stall.release()
  expect((await wholeBody).equals(layer.bytes)).toBe(true)
  expect((await buffer(near)).equals(layer.bytes.subarray(1000))).toBe(true)
  expect(site.upstream.count({ method: 'GET', kind: 'blob' })).toBe(1)
})

test('open ranges that the client leaves early, as containerd fetches in parallel, cost upstream one blob', async () => {
  await using site = await startMirror()
  site.upstream.addImage('library/x', '1', ociIndex)
  await ask(site.edge, `/v2/library/x/manifests/${amd64.manifest.digest}`)
  const path = `/v2/library/x/blobs/${layer.digest}`
  const size = layer.bytes.length
  const part = Math.ceil(size / 4)

  const parts = [0, 1, 2, 3].map(async (at) => {
    const response = await open(site.edge, path, { headers: { range: `bytes=${at * part}-` } })
    return readThenLeave(
      response,
      response.statusCode === 206 ? at * part : 0,
      Math.min(size, (at + 1) * part),
    )
  })
  const chunks = await Promise.all(parts)

  for (const { from, bytes } of chunks) {
    expect(bytes.equals(layer.bytes.subarray(from, from + bytes.length))).toBe(true)
  }
  const whole = await ask(site.edge, path)
  expect(whole.body.equals(layer.bytes)).toBe(true)
  expect(site.upstream.blobBytes(layer.digest)).toBeLessThanOrEqual(size * 1.05)
})

/** Reads up to offset `to` of the blob and hangs up. */
async function readThenLeave(
  response: IncomingMessage,
  from: number,
  to: number,
): Promise<{ from: number; bytes: Buffer }> {
  const chunks: Buffer[] = []
  let left = to - from
  for await (const chunk of response) {
    chunks.push(chunk.subarray(0, left))
    left -= chunk.length
    if (left <= 0) break
  }
  response.destroy()
  return { from, bytes: Buffer.concat(chunks) }
}
