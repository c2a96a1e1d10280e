import { describe, expect, test } from 'vitest'
import { type Edge, startEdge } from '../support/edge.ts'
import { type Fetched, fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const first = buildImage({ layers: [3000], seed: 'first' })
const second = buildImage({ layers: [3000], seed: 'second' })

interface Rules {
  freshness?: string
  stale?: string
  head?: string
}

function policyOf(upstream: Upstream, { freshness = '', stale = '', head = '10s' }: Rules): string {
  return `
kind: registry
name: hub
type: docker-registry
url: ${upstream.url}
ns: docker.io
timeouts: { head: ${head}, idle: 30s }
---
kind: project
name: docker.io
proxy: hub
public: true
${freshness && `freshness: ${freshness}`}
${stale && `stale: ${stale}`}
`
}

async function start(rules: Rules): Promise<{ upstream: Upstream; edge: Edge } & AsyncDisposable> {
  await using owned = new AsyncDisposableStack()
  const upstream = owned.use(await startUpstream())
  upstream.addImage('library/app', '1', first)
  const edge = owned.use(await startEdge({ policies: { 'hub.yaml': policyOf(upstream, rules) } }))
  const held = owned.move()
  return { upstream, edge, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

const always = '[{ tag: "**", for: 1ms }]'

function ask(edge: Edge, reference = '1', method = 'GET'): Promise<Fetched> {
  return fetchBlob(`${edge.url}/v2/library/app/manifests/${reference}`, { method })
}

function said({ status, headers }: Fetched): unknown[] {
  return [status, headers['x-outport-cache'], headers['docker-content-digest'], headers.warning !== undefined]
}

describe('a tag', () => {
  test('that is fresh is answered from here, GET and HEAD alike', async () => {
    await using site = await start({ freshness: '[{ tag: "**", for: 1h }]' })
    expect(said(await ask(site.edge))).toEqual([200, 'fill', first.manifest.digest, false])
    site.upstream.clear()
    expect(said(await ask(site.edge))).toEqual([200, 'hit', first.manifest.digest, false])
    expect(said(await ask(site.edge, '1', 'HEAD'))).toEqual([200, 'hit', first.manifest.digest, false])
    expect(site.upstream.requests).toEqual([])
  })

  test('that is not costs one HEAD while it has not moved, and one GET more when it has', async () => {
    await using site = await start({ freshness: always })
    await ask(site.edge)
    site.upstream.clear()
    expect(said(await ask(site.edge))).toEqual([200, 'revalidated', first.manifest.digest, false])
    expect(site.upstream.requests.map(({ method }) => method)).toEqual(['HEAD'])

    site.upstream.addImage('library/app', '1', second)
    site.upstream.clear()
    expect(said(await ask(site.edge))).toEqual([200, 'fill', second.manifest.digest, false])
    expect(site.upstream.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET'])
  })

  test('asked for with HEAD first downloads nothing, and says what GET will say', async () => {
    await using site = await start({})
    const head = await ask(site.edge, '1', 'HEAD')
    expect(said(head)).toEqual([200, 'miss', first.manifest.digest, false])
    expect(site.upstream.count({ method: 'GET' })).toBe(0)
    const got = await ask(site.edge)
    for (const name of ['content-type', 'content-length', 'docker-content-digest', 'etag']) {
      expect(got.headers[name]).toBe(head.headers[name])
    }
  })

  test('is asked for once by many who want it at the same time', async () => {
    await using site = await start({ freshness: always })
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(site.edge)))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(site.upstream.count({ method: 'GET', path: /manifests/ })).toBe(1)
  })

  test('that is here does not wait for an upstream that is slow, and follows it later', async () => {
    await using site = await start({ freshness: always })
    await ask(site.edge)
    site.upstream.addImage('library/app', '1', second)
    using slow = site.upstream.fault({ on: { method: 'HEAD' }, stallBeforeStatus: true, times: 1 })
    const stale = await ask(site.edge)
    expect(said(stale)).toEqual([200, 'stale', first.manifest.digest, true])
    expect(stale.headers.warning).toMatch(/^299 - ".*not answered yet"$/)
    expect(stale.headers.age).toMatch(/^\d+$/)

    const moved = site.upstream.seen({ method: 'GET', path: /manifests/ }, 2)
    slow.release()
    await moved
    await expect
      .poll(async () => (await ask(site.edge)).headers['docker-content-digest'])
      .toBe(second.manifest.digest)
  })

  test('is not known to be missing for longer than a moment, and never because of a failure', async () => {
    await using site = await start({})
    expect((await ask(site.edge, 'nothing')).status).toBe(404)
    site.upstream.clear()
    expect((await ask(site.edge, 'nothing')).status).toBe(404)
    expect(site.upstream.requests).toEqual([])

    using _ = site.upstream.fault({ on: { path: /manifests\/broken/ }, status: 500, times: 1 })
    site.upstream.setTag('library/app', 'broken', first.manifest.digest as never)
    expect((await ask(site.edge, 'broken')).status).toBe(503)
    expect((await ask(site.edge, 'broken')).status).toBe(200)
  })
})

describe('while upstream does not confirm it, a tag', () => {
  test('is served with a warning when nobody answers, and refused when the rules say never', async () => {
    for (const [stale, expected] of [
      ['{ when: upstream-error, for: 7d }', [200, 'stale', first.manifest.digest, true]],
      ['{ when: never, for: 7d }', [503, undefined, undefined, false]],
      ['{ when: upstream-error, for: 1ms }', [503, undefined, undefined, false]],
    ] as const) {
      await using site = await start({ freshness: always, stale })
      await pull(site.edge.url, 'library/app', '1')
      await site.upstream.stop()
      expect(said(await ask(site.edge))).toEqual(expected)
      expect((await ask(site.edge, first.manifest.digest)).status).toBe(200)
    }
  })

  test.each([500, 502, 503, 429])('is served when it answers %i', async (status) => {
    await using site = await start({ freshness: always })
    await pull(site.edge.url, 'library/app', '1')
    using _ = site.upstream.fault({ on: {}, status })
    expect(said(await ask(site.edge))).toEqual([200, 'stale', first.manifest.digest, true])
  })

  test.each([401, 403])('is never served when it answers %i, and comes back with it', async (status) => {
    await using site = await start({ freshness: always, stale: '{ when: not-found, for: 7d }' })
    await pull(site.edge.url, 'library/app', '1')
    {
      using _ = site.upstream.fault({ on: { path: /manifests/ }, status })
      expect((await ask(site.edge)).status).toBe(404)
    }
    await site.upstream.stop()
    expect((await ask(site.edge)).status).toBe(404)
    await site.edge.restart()
    expect([404, 503]).toContain((await ask(site.edge)).status)
    await site.upstream.restart()
    await expect.poll(async () => (await ask(site.edge)).status, { timeout: 20_000 }).toBe(200)
  })

  test('that it has no more is served only where the rules say so', async () => {
    for (const [when, status] of [
      ['upstream-error', 404],
      ['not-found', 200],
    ] as const) {
      await using site = await start({ freshness: always, stale: `{ when: ${when}, for: 7d }` })
      await pull(site.edge.url, 'library/app', '1')
      site.upstream.deleteTag('library/app', '1')
      expect((await ask(site.edge)).status).toBe(status)
    }
  })
})

describe('an image whose blobs are not all here', () => {
  test('is refused at its manifest while upstream is down, and served while it is up', async () => {
    await using site = await start({ freshness: '[{ tag: "**", for: 1h }]' })
    await ask(site.edge)
    expect((await ask(site.edge)).status).toBe(200)
    await site.upstream.stop()
    // The breaker has to notice first; until then the blobs might be had.
    await expect
      .poll(async () => {
        await fetchBlob(`${site.edge.url}/v2/library/other/manifests/1`)
        return (await ask(site.edge)).status
      })
      .toBe(503)
    const refused = await fetchBlob(`${site.edge.url}/v2/library/app/manifests/1`, { keep: true })
    expect(JSON.parse(refused.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
    expect(refused.headers['retry-after']).toMatch(/^\d+$/)
  })
})
