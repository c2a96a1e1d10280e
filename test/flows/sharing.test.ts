import { describe, expect, test } from 'vitest'
import { type Edge, startEdge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage } from '../support/images.ts'
import { type Line, line } from '../support/line.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

const image = buildImage({ layers: [300_000], seed: 'shared' })
const layer = image.layers[0]
if (!layer) throw new Error('an image without a layer')
const { bytes, digest } = layer

/** Two registries; `open` is public and of the first, `shut-…` stand for content that only some may read. */
function policyOf(one: Upstream, two: Upstream, shut: boolean): string {
  return `
kind: registry
name: one
type: docker-registry
url: ${one.url}
ns: one.test
---
kind: registry
name: two
type: docker-registry
url: ${two.url}
ns: two.test
---
kind: project
name: first
proxy: one
public: ["${shut ? 'asked/**' : '**'}"]
---
kind: project
name: second
proxy: two
public: true
`
}

interface Sites extends AsyncDisposable {
  one: Upstream
  two: Upstream
  edge: Edge
  /** Makes what `first/kept/…` holds private from now on. */
  shut(): Promise<void>
}

async function start(over?: Line): Promise<Sites> {
  await using owned = new AsyncDisposableStack()
  const one = owned.use(await startUpstream({ line: over }))
  const two = owned.use(await startUpstream())
  const edge = owned.use(await startEdge({ policies: { 'site.yaml': policyOf(one, two, false) } }))
  const held = owned.move()
  return {
    one,
    two,
    edge,
    async shut() {
      const { writeFile } = await import('node:fs/promises')
      await writeFile(`${edge.policies}/site.yaml`, policyOf(one, two, true))
      await edge.logged(({ msg }) => msg === 'policies loaded')
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

const at = (edge: Edge, name: string, method = 'GET') =>
  fetchBlob(`${edge.url}/v2/${name}/blobs/${digest}`, { method })

describe('a digest that is here', () => {
  test('is nothing to a repository that does not hold it and whose upstream has it not', async () => {
    await using site = await start()
    site.one.addBlob('kept/app', bytes)
    expect((await at(site.edge, 'first/kept/app')).status).toBe(200)
    await site.shut()
    expect((await at(site.edge, 'first/kept/app')).status).toBe(404)
    for (const name of ['first/asked/app', 'second/app']) {
      expect((await at(site.edge, name, 'HEAD')).status).toBe(404)
      expect((await at(site.edge, name)).status).toBe(404)
    }
  })

  test('and public is linked without asking any upstream, where a manifest names it', async () => {
    await using site = await start()
    site.one.addBlob('kept/app', bytes)
    site.two.addImage('app', '1', image)
    await at(site.edge, 'first/kept/app')
    await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)
    await fetchBlob(`${site.edge.url}/v2/second/app/manifests/1`)
    site.two.clear()
    const shared = await at(site.edge, 'second/app')
    expect([shared.status, shared.sha256, shared.headers['x-outport-cache']]).toEqual([200, digest, 'hit'])
    expect(site.two.requests).toEqual([])
  })

  test('and public is not linked to any name that comes along', async () => {
    await using site = await start()
    site.one.addBlob('kept/app', bytes)
    await at(site.edge, 'first/kept/app')
    for (const name of ['first/bogus/app', 'second/bogus'])
      expect((await at(site.edge, name)).status).toBe(404)
  })

  test('and private is given when the same upstream confirms it for this repository', async () => {
    await using site = await start()
    site.one.addBlob('kept/app', bytes)
    site.one.addBlob('asked/app', bytes)
    await at(site.edge, 'first/kept/app')
    await site.shut()
    site.one.clear()
    expect((await at(site.edge, 'first/asked/app')).sha256).toBe(digest)
    expect(site.one.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      `HEAD /v2/asked/app/blobs/${digest}`,
    ])
  })

  test('and private must be downloaded by a repository of another upstream', async () => {
    await using site = await start()
    site.one.addBlob('kept/app', bytes)
    site.two.addBlob('app', bytes)
    await at(site.edge, 'first/kept/app')
    await site.shut()
    const got = await at(site.edge, 'second/app')
    expect([got.status, got.sha256, got.headers['x-outport-cache']]).toEqual([200, digest, 'fill'])
    expect(site.two.blobBytes()).toBe(bytes.length)
    site.two.clear()
    expect((await at(site.edge, 'second/app')).headers['x-outport-cache']).toBe('hit')
    expect(site.two.requests).toEqual([])
  })

  test('and private is not given for a confirmation that an upstream cannot back with bytes', async () => {
    await using site = await start()
    site.one.addBlob('kept/app', bytes)
    await at(site.edge, 'first/kept/app')
    await site.shut()
    const other = Buffer.alloc(bytes.length, 'x')
    using _ = site.two.fault({
      on: { path: /blobs/ },
      status: 200,
      body: other,
      headers: { 'content-length': String(other.length) },
    })
    const got = await at(site.edge, 'second/app')
    expect(got.complete && got.status === 200).toBe(false)
    expect((await at(site.edge, 'first/kept/app')).status).toBe(404)
  })
})

describe('a digest on its way', () => {
  test('is joined by another public repository of its registry', async () => {
    await using site = await start(line({ bytesPerSecond: 400_000 }))
    site.one.addImage('kept/app', '1', image)
    site.one.addImage('asked/app', '1', image)
    await fetchBlob(`${site.edge.url}/v2/first/asked/app/manifests/1`)
    const begun = Promise.withResolvers<void>()
    const first = fetchBlob(`${site.edge.url}/v2/first/kept/app/blobs/${digest}`, {
      onProgress: () => begun.resolve(),
    })
    await begun.promise
    const [a, b] = await Promise.all([first, at(site.edge, 'first/asked/app')])
    expect([a.sha256, b.sha256]).toEqual([digest, digest])
    expect(site.one.blobBytes()).toBe(bytes.length)
  })

  test('from a registry that is slow or lies does no harm to those of another one', async () => {
    await using site = await start()
    site.one.addBlob('kept/app', bytes)
    site.two.addImage('app', '1', image)
    await fetchBlob(`${site.edge.url}/v2/second/app/manifests/1`)
    using stalled = site.one.fault({ on: { path: /blobs/ }, stallAt: 100_000, flipAt: 200_000 })
    const pending = at(site.edge, 'first/kept/app')
    await stalled.struck()
    expect((await at(site.edge, 'second/app')).sha256).toBe(digest)
    stalled.release()
    expect((await pending).complete).toBe(false)
    expect((await at(site.edge, 'second/app')).sha256).toBe(digest)
  })

  test("is nobody else's before its upstream has said that it has it", async () => {
    await using site = await start()
    site.two.addBlob('app', bytes)
    using silent = site.one.fault({ on: { path: /blobs/ }, stallBeforeStatus: true })
    const pending = at(site.edge, 'first/kept/app')
    await silent.struck()
    expect((await at(site.edge, 'second/app')).sha256).toBe(digest)
    silent.release()
    expect((await pending).status).toBe(404)
  })

  test('and refused in the end is asked for again by who waited with it', async () => {
    await using site = await start()
    site.one.addBlob('asked/app', bytes)
    using silent = site.one.fault({ on: { path: /kept.*blobs/ }, stallBeforeStatus: true })
    const pending = at(site.edge, 'first/kept/app')
    await silent.struck()
    const waiting = at(site.edge, 'first/asked/app')
    silent.release()
    expect([(await pending).status, (await waiting).sha256]).toEqual([404, digest])
  })
})
