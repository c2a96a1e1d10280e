import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage, buildIndex, buildReferrer, type Content } from '../support/images.ts'
import { line } from '../support/line.ts'
import { pull } from '../support/pull.ts'
import { startUpstream } from '../support/upstream.ts'

const image = buildImage({ layers: [2000, 300_000, 10] })
const layer = image.layers[1] as Content
const path = `/v2/library/app/blobs/${layer.digest}`

async function startFilled(options: Parameters<typeof startUpstream>[0] = {}) {
  const upstream = await startUpstream(options)
  upstream.addImage('library/app', '1', image)
  return upstream
}

async function tokenFrom(response: Response): Promise<string> {
  const { access_token } = (await response.json()) as { access_token: string }
  return access_token
}

describe('reading', () => {
  test('a pull gets the whole image, and every byte is counted', async () => {
    await using upstream = await startFilled()

    const pulled = await pull(upstream.url, 'library/app', '1')

    expect(pulled.digest).toBe(image.manifest.digest)
    expect(pulled.blobs).toEqual([image.config, ...image.layers].map(({ digest }) => digest))
    expect(upstream.blobBytes()).toBe(pulled.bytes - image.manifest.bytes.length)
    expect(upstream.blobBytes(layer.digest)).toBe(layer.bytes.length)
    expect(upstream.count({ kind: 'blob', method: 'GET' })).toBe(4)
    expect(upstream.count({ kind: 'manifest', method: 'HEAD', reference: '1' })).toBe(1)
  })

  test('a pull chooses its platform from an index', async () => {
    await using upstream = await startUpstream()
    const other = buildImage({ layers: [5], platform: 'linux/arm64/v8' })
    upstream.addImage('library/app', '1', buildIndex([{ image }, { image: other }]))

    const pulled = await pull(upstream.url, 'library/app', '1', {
      platform: 'linux/arm64/v8',
      ns: 'docker.io',
    })

    expect(pulled.blobs).toEqual([other.config, ...other.layers].map(({ digest }) => digest))
    expect(upstream.requests.every(({ query }) => query.get('ns') === 'docker.io')).toBe(true)
    await expect(pull(upstream.url, 'library/app', '1', { platform: 'plan9/mips' })).rejects.toThrow(
      'no manifest',
    )
  })

  const whole = { status: 200, from: 0, to: layer.bytes.length }
  const ranges = [
    { headers: { range: 'bytes=10-19' }, status: 206, from: 10, to: 20 },
    { headers: { range: 'bytes=299000-' }, status: 206, from: 299_000, to: layer.bytes.length },
    { headers: { range: 'bytes=-7' }, status: 206, from: layer.bytes.length - 7, to: layer.bytes.length },
    { headers: { range: 'bytes=10-19', 'if-range': `"${layer.digest}"` }, status: 206, from: 10, to: 20 },
    { headers: { range: 'bytes=10-19', 'if-range': '"other"' }, ...whole },
    { headers: { range: 'bytes=0-1,5-6' }, ...whole },
    { headers: { range: 'bytes=9-3' }, ...whole },
  ]
  for (const { headers, status, from, to } of ranges) {
    test(`a blob asked for with ${JSON.stringify(headers).slice(0, 60)} answers ${status}`, async () => {
      await using upstream = await startFilled()

      const answer = await fetchBlob(upstream.url + path, { headers, keep: true })

      expect(answer.status).toBe(status)
      expect(answer.body).toEqual(layer.bytes.subarray(from, to))
      if (status === 206)
        expect(answer.headers['content-range']).toBe(`bytes ${from}-${to - 1}/${layer.bytes.length}`)
    })
  }

  test('a range outside is 416, a blob of another repository 404', async () => {
    await using upstream = await startFilled()
    upstream.addBlob('other/app', Buffer.from('x'))

    const outside = await fetchBlob(upstream.url + path, { headers: { range: 'bytes=99999999-' } })
    const elsewhere = await fetchBlob(`${upstream.url}/v2/other/app/blobs/${layer.digest}`)

    expect([outside.status, elsewhere.status]).toEqual([416, 404])
    expect(outside.headers['content-range']).toBe(`bytes */${layer.bytes.length}`)
  })

  test('tags are listed by pages', async () => {
    await using upstream = await startFilled()
    for (const tag of ['2', '3']) upstream.setTag('library/app', tag, image.manifest.digest)
    upstream.deleteTag('library/app', '1')
    upstream.setTag('library/app', '4', image.manifest.digest)

    const first = await (await fetch(`${upstream.url}/v2/library/app/tags/list?n=2`)).json()
    const link = (await fetch(`${upstream.url}/v2/library/app/tags/list?n=2`)).headers.get('link')
    const rest = await fetch(upstream.url + (/<(.*)>/.exec(link ?? '')?.[1] ?? ''))

    expect(first).toEqual({ name: 'library/app', tags: ['2', '3'] })
    expect(await rest.json()).toEqual({ name: 'library/app', tags: ['4'] })
    expect(rest.headers.get('link')).toBe(null)
  })

  for (const referrers of [true, false]) {
    test(`referrers are ${referrers ? 'listed' : '404 when the API is off'}`, async () => {
      await using upstream = await startFilled({ referrers })
      const note = buildReferrer({
        subject: image.manifest,
        artifactType: 'text/x-note',
        bytes: Buffer.from('hi'),
      })
      upstream.addImage('library/app', undefined, note)

      const answer = await fetch(`${upstream.url}/v2/library/app/referrers/${image.manifest.digest}`)

      expect(answer.status).toBe(referrers ? 200 : 404)
      if (referrers)
        expect(await answer.json()).toMatchObject({ manifests: [{ digest: note.manifest.digest }] })
    })
  }
})

describe('access', () => {
  const auth = { service: 'registry.test', users: { ann: 'secret' } }
  const basic = { authorization: `Basic ${Buffer.from('ann:secret').toString('base64')}` }

  test('a token is good for the repository it was asked for, until it is revoked', async () => {
    await using upstream = await startFilled({ auth })
    upstream.addImage('library/other', '1', image)

    const bare = await fetchBlob(upstream.url + path)
    const scope = 'service=registry.test&scope=repository:library/app:pull'
    const token = await tokenFrom(await fetch(`${upstream.url}/token?${scope}`, { headers: basic }))
    const headers = { authorization: `Bearer ${token}` }
    const statusOf = async (of: string) => (await fetchBlob(upstream.url + of, { headers })).status

    expect(bare.status).toBe(401)
    expect(bare.headers['www-authenticate']).toBe(
      `Bearer realm="${upstream.url}/token",service="registry.test",scope="repository:library/app:pull"`,
    )
    expect(await statusOf(path)).toBe(200)
    expect(await statusOf(path.replace('app', 'other'))).toBe(401)
    upstream.revokeTokens()
    expect(await statusOf(path)).toBe(401)
  })

  test('nobody and a wrong password get nothing; POST is taken only where it is switched on', async () => {
    await using upstream = await startFilled({ auth })
    await using modern = await startFilled({ auth: { ...auth, post: true } })
    const scope = 'repository:library/app:pull'
    const body = new URLSearchParams({ grant_type: 'password', username: 'ann', password: 'secret', scope })
    const wrong = { authorization: `Basic ${Buffer.from('ann:guess').toString('base64')}` }

    const anonymous = await tokenFrom(await fetch(`${upstream.url}/token?scope=${scope}`))
    const headers = { authorization: `Bearer ${anonymous}` }

    expect((await fetchBlob(upstream.url + path, { headers })).status).toBe(401)
    expect((await fetch(`${upstream.url}/token?scope=${scope}`, { headers: wrong })).status).toBe(401)
    expect((await fetch(`${upstream.url}/token`, { method: 'POST', body })).status).toBe(405)
    const token = await tokenFrom(await fetch(`${modern.url}/token`, { method: 'POST', body }))
    const granted = { authorization: `Bearer ${token}` }
    expect((await fetchBlob(modern.url + path, { headers: granted })).status).toBe(200)
  })

  test('Basic is asked for on every request where it is the way', async () => {
    await using upstream = await startFilled({ auth: { ...auth, kind: 'basic' } })

    expect((await fetchBlob(upstream.url + path)).headers['www-authenticate']).toBe(
      'Basic realm="registry.test"',
    )
    expect((await fetchBlob(upstream.url + path, { headers: basic })).status).toBe(200)
  })
})

describe('the server', () => {
  test('speaks TLS with a certificate that its own authority vouches for', async () => {
    await using upstream = await startFilled({ tls: true })

    const { digest } = await pull(upstream.url, 'library/app', '1', { ca: upstream.ca ?? '' })

    expect(digest).toBe(image.manifest.digest)
    await expect(pull(upstream.url, 'library/app', '1')).rejects.toThrow(/certificate/)
  })

  test('refuses connections while it is stopped, cuts those it had, and comes back on its port', async () => {
    await using upstream = await startFilled()
    using _stall = upstream.fault({ on: { kind: 'blob' }, stallAt: 100, times: 1 })
    const cut = fetchBlob(upstream.url + path)
    await upstream.seen({ kind: 'blob' })

    await upstream.stop()

    await expect(cut.then(({ complete }) => complete)).resolves.toBe(false)
    await expect(fetchBlob(upstream.url + path)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await upstream.restart()
    expect((await fetchBlob(upstream.url + path)).sha256).toBe(layer.digest)
  })

  test('tells which requests came over one connection, and forgets on clear', async () => {
    await using upstream = await startFilled()
    const socket = connect(Number(new URL(upstream.url).port), '127.0.0.1')
    await once(socket, 'connect')
    const request = 'GET /v2/ HTTP/1.1\r\nHost: x\r\nAccept: a\r\nAccept: b\r\n\r\n'
    socket.write(request)
    await once(socket, 'data')
    socket.write(request)
    await once(socket, 'data')
    socket.destroy()
    await fetchBlob(`${upstream.url}/v2/`)

    const [first, second, third] = upstream.requests
    expect(first?.connection).toBe(second?.connection)
    expect(third?.connection).not.toBe(first?.connection)
    expect(first?.rawHeaders.filter((text) => text === 'Accept')).toHaveLength(2)
    upstream.clear()
    expect(upstream.requests).toHaveLength(0)
  })

  test('shares its line among all connections', async () => {
    await using upstream = await startFilled({ line: line({ bytesPerSecond: 2_000_000, latencyMs: 30 }) })

    const startedAt = performance.now()
    const both = await Promise.all([fetchBlob(upstream.url + path), fetchBlob(upstream.url + path)])
    const ms = performance.now() - startedAt

    // A lower bound only: no line is faster than its width, however busy this machine is.
    expect(ms).toBeGreaterThan(30 + (2 * layer.bytes.length) / 2_000 - 5)
    expect(both.map(({ sha256 }) => sha256)).toEqual([layer.digest, layer.digest])
    expect(Math.min(...both.map(({ firstByteMs }) => firstByteMs))).toBeGreaterThan(29)
  })
})
