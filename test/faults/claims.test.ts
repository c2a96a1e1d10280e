import { describe, expect, test } from 'vitest'
import { mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const old = buildImage({ layers: [2000], seed: 'old' })
const next = buildImage({ layers: [2000], seed: 'next' })
const layer = String(old.layers[0]?.digest)

async function start() {
  await using owned = new AsyncDisposableStack()
  const upstream: Upstream = owned.use(await startUpstream())
  const edge = owned.use(await startEdge({ policies: { 'p.yaml': mirrorPolicy(upstream) } }))
  const held = owned.move()
  return {
    upstream,
    edge,
    ask: (path: string, method = 'GET') =>
      fetchBlob(`${edge.url}/v2/library/app/${path}`, { method, keep: true }),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

describe('what upstream only claims is not passed on as true', () => {
  test('an empty body under the digest of bytes', async () => {
    await using site = await start()
    site.upstream.addImage('library/app', '1', old)
    {
      using _ = site.upstream.fault({ on: { path: /blobs/ }, body: Buffer.alloc(0) })
      const lied = await site.ask(`blobs/${layer}`)
      expect(lied.status === 200 && lied.complete).toBe(false)
    }
    expect((await site.ask(`blobs/${layer}`)).sha256).toBe(layer)
  })

  test('the empty blob is one all the same', async () => {
    await using site = await start()
    const empty = site.upstream.addBlob('library/app', Buffer.alloc(0))
    for (const cache of ['fill', 'hit']) {
      const { status, bytes, complete, headers } = await site.ask(`blobs/${empty}`)
      expect([status, bytes, complete, headers['x-outport-cache']]).toEqual([200, 0, true, cache])
    }
  })

  test('a digest that HEAD named and that GET cannot bring any more', async () => {
    await using site = await start()
    site.upstream.addImage('library/app', '1', old)
    expect((await site.ask('manifests/1', 'HEAD')).headers['docker-content-digest']).toBe(old.manifest.digest)
    site.upstream.addImage('library/app', '1', next)
    using _ = site.upstream.fault({ on: { path: new RegExp(old.manifest.digest) }, status: 404 })
    const got = await site.ask('manifests/1')
    expect([got.status, got.headers['docker-content-digest']]).toEqual([200, next.manifest.digest])
  })

  test('a manifest that is not what its own header says', async () => {
    await using site = await start()
    site.upstream.addImage('library/app', '1', old)
    {
      using _ = site.upstream.fault({ on: { path: /manifests/, method: 'GET' }, body: next.manifest.bytes })
      expect((await site.ask('manifests/1')).status).toBe(503)
    }
    expect((await pull(site.edge.url, 'library/app', '1')).digest).toBe(old.manifest.digest)
  })
})

test('an upstream that says 429 and 0 seconds is not hammered', async () => {
  await using site = await start()
  site.upstream.addImage('library/app', '1', old)
  using _ = site.upstream.fault({
    on: { path: /manifests/ },
    status: 429,
    headers: { 'retry-after': '0' },
    times: 2,
  })
  expect((await site.ask('manifests/1')).status).toBe(200)
  expect(site.upstream.count({ path: /manifests/ })).toBe(3)
})

test('clients that leave are nobody\u2019s error', async () => {
  await using site = await start()
  site.upstream.addImage('library/app', '1', old)
  {
    using _ = site.upstream.fault({ on: { path: /manifests|blobs/ }, stallBeforeStatus: true })
    const leaving = ['manifests/1', `blobs/${layer}`].map(async (path) => {
      const gone = new AbortController()
      const asked = fetch(`${site.edge.url}/v2/library/app/${path}`, { signal: gone.signal }).catch(
        () => 'left',
      )
      await site.upstream.seen({ path: new RegExp(path) })
      gone.abort()
      return asked
    })
    expect(await Promise.all(leaving)).toEqual(['left', 'left'])
  }
  await pull(site.edge.url, 'library/app', '1')
  expect(site.edge.logs.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})

test('what many have pushed is listed by pages, and never as what happens to be here', async () => {
  await using site = await start()
  site.upstream.addImage('library/app', 'a0000', old)
  for (let index = 1; index < 1500; index++) {
    site.upstream.setTag('library/app', `a${String(index).padStart(4, '0')}`, old.manifest.digest)
  }
  await site.ask('manifests/a0000')
  const first = await site.ask('tags/list')
  expect(JSON.parse(first.body.toString()).tags).toHaveLength(1000)
  const link = /<([^>]+)>; rel="next"/.exec(String(first.headers.link))?.[1]
  const rest = await fetch(`${site.edge.url}${link}`)
  expect(((await rest.json()) as { tags: string[] }).tags).toHaveLength(500)

  using _ = site.upstream.fault({ on: { path: /tags/ }, html: true })
  expect((await site.ask('tags/list')).status).toBe(503)
})
