import { readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { type Fetched, fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { line } from '../support/line.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { pull } from '../support/pull.ts'
import { startUpstream } from '../support/upstream.ts'

const bytes = pseudoRandomBytes(6_000_000, 'aftermath')

/** A pull of which a third has arrived. */
async function startPull(edge: Edge, digest: string): Promise<{ done: Promise<Fetched> }> {
  const third = Promise.withResolvers<void>()
  const done = fetchBlob(`${edge.url}/v2/library/app/blobs/${digest}`, {
    onProgress: (count) => count > bytes.length / 3 && third.resolve(),
  })
  await third.promise
  return { done }
}

describe('nothing is left of', () => {
  test('blobs that upstream has not got', async () => {
    await using upstream = await startUpstream()
    await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
    for (let index = 0; index < 10; index++) {
      const { status } = await fetchBlob(
        `${edge.url}/v2/library/app/blobs/${digestOf(Buffer.from(`${index}`))}`,
      )
      expect(status).toBe(404)
    }
    expect(await readdir(join(edge.data, 'fills'))).toEqual([])
  })

  test('what an earlier process left empty or half written', async () => {
    await using upstream = await startUpstream()
    await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
    await edge.stop()
    await writeFile(join(edge.data, 'fills', `sha256-${'a'.repeat(64)}.part`), '')
    await writeFile(join(edge.data, 'uploads', 'draft'), 'half a manifest')
    await edge.restart()
    expect(await readdir(join(edge.data, 'fills'))).toEqual([])
    expect(await readdir(join(edge.data, 'uploads'))).toEqual([])
  })
})

describe('a body under way is not noticed to', () => {
  test('lose its upstream for some seconds', async () => {
    await using upstream = await startUpstream({ line: line({ bytesPerSecond: 4_000_000 }) })
    const digest = upstream.addBlob('library/app', bytes)
    await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
    const pulling = await startPull(edge, digest)
    await upstream.stop()
    const refused = () => edge.metrics('outport_upstream_requests_total', { kind: 'blob', outcome: 'down' })
    await expect.poll(refused).toBeGreaterThan(1)
    await upstream.restart()
    const { complete, sha256 } = await pulling.done
    expect([complete, sha256]).toEqual([true, digest])
    const broken = edge.logs.filter(({ msg }) => msg === 'fill failed' || msg === 'body broken off')
    expect(broken).toEqual([])
  })

  test('have its registry described anew while the connection breaks', async () => {
    await using upstream = await startUpstream({ line: line({ bytesPerSecond: 4_000_000 }) })
    const digest = upstream.addBlob('library/app', bytes)
    await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
    const pulling = await startPull(edge, digest)
    await writeFile(join(edge.policies, 'p.yaml'), mirrorPolicy(upstream, { registry: { connections: 7 } }))
    await edge.logged(({ msg }) => msg === 'policies loaded')
    await upstream.stop()
    await upstream.restart()
    const { complete, sha256 } = await pulling.done
    expect([complete, sha256]).toEqual([true, digest])
  })
})

test('garbage sent during an answer does not get into the answer', async () => {
  await using upstream = await startUpstream({ line: line({ bytesPerSecond: 4_000_000 }) })
  const digest = upstream.addBlob('library/app', bytes)
  await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
  const socket = connect(edge.port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    if (chunks.length === 3) socket.write('\0\0garbage\r\n\r\n')
  })
  socket.on('error', () => {})
  socket.write(`GET /v2/library/app/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`)
  await new Promise((resolve) => socket.once('close', resolve))
  expect(Buffer.concat(chunks).includes('HTTP/1.1 400')).toBe(false)
})

test('many requests sent at once on silent connections hold up nobody else', async () => {
  await using upstream = await startUpstream()
  const digest = upstream.addBlob('library/app', bytes)
  await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
  await fetchBlob(`${edge.url}/v2/library/app/blobs/${digest}`)
  const request = `GET /v2/library/app/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`
  const silent = Array.from({ length: 10 }, () => connect(edge.port, '127.0.0.1').on('error', () => {}))
  for (const socket of silent) socket.pause().write(request.repeat(100))
  const others = await Promise.all(
    [1, 2, 3].map(() => fetchBlob(`${edge.url}/v2/library/app/blobs/${digest}`)),
  )
  expect(others.map(({ sha256 }) => sha256)).toEqual([digest, digest, digest])
  for (const socket of silent) socket.destroy()
})

test('a reload that cannot be followed changes nothing', async () => {
  await using upstream = await startUpstream()
  upstream.addImage('library/app', '1', buildImage({ layers: [100] }))
  await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
  const keyless = { clientCertificate: { cert: 'missing.pem', key: 'missing.key' } }
  await writeFile(join(edge.policies, 'p.yaml'), mirrorPolicy(upstream, { registry: keyless }))
  await edge.logged(({ msg }) => msg === 'policies are wrong; the last good ones go on')
  await pull(edge.url, 'library/app', '1')
})

test('an exception that nobody thought of costs its request alone', async () => {
  await using upstream = await startUpstream()
  upstream.addImage('library/app', '1', buildImage({ layers: [100] }))
  await using edge = await startEdge({
    policies: { 'p.yaml': mirrorPolicy(upstream) },
    env: { OUTPORT_FAILPOINT: 'request' },
  })
  const broken = await fetchBlob(`${edge.url}/v2/library/app/manifests/1`, { keep: true })
  expect(broken.status).toBe(500)
  expect(JSON.parse(broken.body.toString())).toEqual({
    errors: [{ code: 'UNKNOWN', message: 'unknown error' }],
  })
  await pull(edge.url, 'library/app', '1')
  expect((await edge.logged(({ msg }) => msg === 'request failed')).level).toBe('error')
})

describe('after files were spoilt behind our back', () => {
  test.each([
    ['a layer that was cut', 'layer', (file: Buffer) => file.subarray(0, 1000)],
    ['a layer that was emptied', 'layer', () => Buffer.alloc(0)],
    [
      'a manifest with a flipped byte',
      'manifest',
      (file: Buffer) => Buffer.concat([Buffer.from('['), file.subarray(1)]),
    ],
  ] as const)('%s is fetched again, and never served', async (_, what, spoil) => {
    await using upstream = await startUpstream()
    const image = buildImage({ layers: [300_000] })
    upstream.addImage('library/app', '1', image)
    await using edge = await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } })
    await pull(edge.url, 'library/app', '1')
    await edge.stop()
    const digest = String(what === 'layer' ? image.layers[0]?.digest : image.manifest.digest)
    const hex = digest.slice('sha256:'.length)
    const file = join(edge.data, 'blobs', 'sha256', hex.slice(0, 2), hex)
    await writeFile(file, spoil(await readFile(file)))
    await edge.restart()
    upstream.clear()
    await pull(edge.url, 'library/app', '1')
    expect(upstream.count({ method: 'GET', path: new RegExp(hex) })).toBe(1)
  })
})
