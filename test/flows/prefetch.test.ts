import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { blobBytesOf, blobsOf, buildImage, buildIndex, type Image } from '../support/images.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'
import { ask } from './support/mirror.ts'

const kib = 1024
const mib = 1024 * kib

const app = buildImage({ seed: 'app', layers: [9 * kib, 70 * kib, 3 * kib, 80 * kib, 5 * kib] })
const arm = buildImage({ seed: 'arm', layers: [10 * kib, 20 * kib], platform: 'linux/arm64/v8' })
const proof = buildImage({ seed: 'proof', layers: [kib] })
const index = buildIndex([{ image: app }, { image: arm }, { image: proof, platform: 'unknown/unknown' }])
const marker = buildImage({ seed: 'marker', layers: [kib] })

interface Site extends AsyncDisposable {
  upstream: Upstream
  edge: Edge
  /** GET of a manifest, which must be answered. */
  get(repository: string, reference: string): Promise<void>
  /** Resolves when all has been fetched that was to be fetched before this: each upstream has one queue. */
  settled(): Promise<void>
  /** From now on docker.io is as `project` says. */
  follow(project: object): Promise<void>
  /** How many blobs of the image upstream was asked for. */
  asked(image: Image): number
}

/** docker.io as `project` says; `eager/…` is the same upstream and fetches ahead. */
async function start(project: object = { prefetch: true }): Promise<Site> {
  await using owned = new AsyncDisposableStack()
  const upstream = owned.use(await startUpstream())
  const eager = { kind: 'project', name: 'eager', proxy: 'upstream', public: true, prefetch: true }
  const policyOf = (its: object) => mirrorPolicy(upstream, { project: its, more: [eager] })
  const policies = { 'site.yaml': policyOf(project) }
  const edge = owned.use(await startEdge({ policies }))
  upstream.addImage('library/app', '1', app)
  upstream.addImage('library/many', '1', index)
  upstream.addImage('library/marker', '1', marker)
  const held = owned.move()

  async function get(repository: string, reference: string): Promise<void> {
    const answer = await ask(edge, `/v2/${repository}/manifests/${reference}`)
    expect([repository, answer.status]).toEqual([repository, 200])
  }
  const asked = (image: Image) => {
    const digests = new Set<string>(blobsOf(image).map(({ digest }) => digest))
    return upstream.count(({ kind, reference }) => kind === 'blob' && digests.has(reference ?? ''))
  }
  return {
    upstream,
    edge,
    get,
    asked,
    async follow(next) {
      await writeFile(`${edge.policies}/site.yaml`, policyOf(next))
      await edge.logged(({ msg }) => msg === 'policies loaded')
    },
    async settled() {
      await get('eager/library/marker', '1')
      await expect.poll(() => heldBy(edge, 'eager/library/marker', marker)).toBe(true)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Whether every blob is here, without asking upstream for any. */
async function heldBy(edge: Edge, repository: string, image: Image): Promise<boolean> {
  const heads = blobsOf(image).map(({ digest }) =>
    ask(edge, `/v2/${repository}/blobs/${digest}`, { method: 'HEAD' }),
  )
  return (await Promise.all(heads)).every(({ headers }) => headers['x-outport-cache'] === 'hit')
}

const fetched = (edge: Edge) => edge.metrics('outport_prefetched_total', { kind: 'blob', outcome: 'fetched' })

describe('the blobs of an image whose manifest is asked for', () => {
  test('are fetched in its order, each once, a few at a time', async () => {
    await using site = await start()
    using held = site.upstream.fault({ on: { kind: 'blob', method: 'GET' }, stallBeforeStatus: true })
    await site.get('library/app', '1')
    await held.struck(2)
    expect(await fetched(site.edge)).toBe(0)
    expect(site.asked(app)).toBe(2)
    held[Symbol.dispose]()

    await expect.poll(() => fetched(site.edge)).toBe(6)

    const asked = site.upstream.requests
      .filter(({ kind }) => kind === 'blob')
      .map(({ reference }) => reference)
    const wanted = blobsOf(app).map(({ digest }) => digest)
    expect(asked.toSorted()).toEqual(wanted.toSorted())
    // Two connections: neighbours may overtake each other.
    for (const [at, digest] of wanted.entries()) expect(Math.abs(asked.indexOf(digest) - at)).toBeLessThan(2)
    expect(site.upstream.blobBytes()).toBe(blobBytesOf(app))
    await site.upstream.stop()
    for (const { digest, bytes } of blobsOf(app)) {
      const blob = await ask(site.edge, `/v2/library/app/blobs/${digest}`)
      expect([blob.status, blob.body.equals(bytes)]).toEqual([200, true])
    }
  })

  test('are fetched too when the manifest was here already', async () => {
    await using site = await start({})
    await site.get('library/app', '1')
    await site.follow({ prefetch: true })
    expect(site.asked(app)).toBe(0)
    await site.get('library/app', app.manifest.digest)
    await expect.poll(() => heldBy(site.edge, 'library/app', app)).toBe(true)
  })

  test('are not, unless the project says so', async () => {
    await using site = await start({})
    await site.get('library/app', '1')
    await site.get('library/app', app.manifest.digest)
    await site.settled()
    expect(site.asked(app)).toBe(0)
  })

  test('are not for a HEAD, nor for a manifest that the client has', async () => {
    await using site = await start({})
    await site.get('library/app', '1')
    await site.follow({ prefetch: true })
    const path = '/v2/library/app/manifests/1'
    await ask(site.edge, path, { method: 'HEAD' })
    await ask(site.edge, path, { headers: { 'if-none-match': `"${app.manifest.digest}"` } })
    await site.settled()
    expect(site.asked(app)).toBe(0)
  })

  test('are not where the repository is private, or upstream refuses it', async () => {
    await using site = await start({ prefetch: true, public: ['library/**'] })
    site.upstream.addImage('team/app', '1', app)
    using _ = site.upstream.fault({ on: { kind: 'manifest', repository: 'library/app' }, status: 403 })
    for (const name of ['team/app', 'library/app']) {
      expect((await ask(site.edge, `/v2/${name}/manifests/1`)).status).toBe(404)
    }
    await site.settled()
    expect(site.asked(app)).toBe(0)
    expect(site.upstream.count({ repository: 'team/app' })).toBe(0)
  })

  test('are left where no registry has them', async () => {
    await using site = await start()
    const [first, ...layers] = app.layers.map(({ mediaType, digest, bytes }) => ({
      mediaType,
      digest,
      size: bytes.length,
    }))
    const { mediaType, digest, bytes } = app.config
    const manifest = {
      schemaVersion: 2,
      mediaType: app.manifest.mediaType,
      config: { mediaType, digest, size: bytes.length },
      layers: [{ ...first, urls: ['http://127.0.0.1:1/layer'] }, ...layers],
    }
    site.upstream.addManifest(
      'library/app',
      'foreign',
      Buffer.from(JSON.stringify(manifest)),
      manifest.mediaType,
    )
    await site.get('library/app', 'foreign')
    await site.settled()
    expect(site.asked(app)).toBe(5)
    expect(site.upstream.count({ kind: 'blob', digest: `${first?.digest}` })).toBe(0)
  })

  test('cost upstream nothing more when a client asks meanwhile', async () => {
    await using site = await start()
    const layer = app.layers[1]
    if (!layer) throw new Error('no layer')
    using held = site.upstream.fault({ on: { digest: layer.digest }, stallAt: 30 * kib })
    await site.get('library/app', '1')
    await held.struck()
    const pulled = Promise.all(
      blobsOf(app).map(({ digest }) => ask(site.edge, `/v2/library/app/blobs/${digest}`)),
    )
    held.release()
    expect((await pulled).map(({ sha256 }) => sha256)).toEqual(blobsOf(app).map(({ digest }) => digest))
    await site.settled()
    expect(site.upstream.blobBytes()).toBe(blobBytesOf(app) + blobBytesOf(marker))
  })

  test('are gone on with where a node that was stopped had left them', async () => {
    await using site = await start()
    const large = buildImage({ seed: 'large', layers: [12 * mib] })
    const layer = large.layers[0]
    if (!layer) throw new Error('no layer')
    site.upstream.addImage('library/large', '1', large)
    const held = site.upstream.fault({ on: { digest: layer.digest }, stallAt: 9 * mib })
    await site.get('library/large', '1')
    await held.struck()
    await expect.poll(() => site.edge.metrics('outport_upstream_bytes_total')).toBeGreaterThan(8 * mib)
    await site.edge.restart()
    held[Symbol.dispose]()
    site.upstream.clear()

    await site.get('library/large', '1')

    await expect.poll(() => heldBy(site.edge, 'library/large', large)).toBe(true)
    expect(site.upstream.blobBytes(layer.digest)).toBeLessThan(layer.bytes.length - 7 * mib)
  })
})

describe('while upstream', () => {
  test.each([
    ['does not answer', { drop: true }],
    ['allows no more', { status: 429, headers: { 'retry-after': '60' } }],
    ['has lost the blobs', { status: 404 }],
  ])('%s, nothing more is asked of it, and clients get what they got before', async (_, effects) => {
    await using site = await start()
    using broken = site.upstream.fault({ on: { kind: 'blob', method: 'GET' }, ...effects })
    await site.get('library/app', '1')
    const left = () => site.edge.metrics('outport_prefetched_total', { kind: 'blob' })
    await expect.poll(left).toBeGreaterThanOrEqual(6)
    // A request that meets no answer at all is made once more.
    expect(site.asked(app)).toBeLessThan(6)
    expect(await fetched(site.edge)).toBe(0)
    expect(broken.hits).toBeGreaterThan(0)
    expect(site.edge.logs.filter(({ msg }) => msg === 'prefetch failed')).toEqual([])
  })

  test('allows no more, other images that wait are given up too', async () => {
    await using site = await start()
    const tooMuch = { status: 429, headers: { 'retry-after': '60' }, stallBeforeStatus: true }
    using held = site.upstream.fault({ on: { kind: 'blob', method: 'GET' }, ...tooMuch })
    await site.get('library/app', '1')
    await held.struck(2)
    await site.get('library/many', arm.manifest.digest)
    held.release()

    const ended = (outcome: string) => site.edge.metrics('outport_prefetched_total', { outcome })
    await expect.poll(() => ended('dropped')).toBe(7)
    await expect.poll(() => ended('failed')).toBe(2)
    expect([site.asked(app), site.asked(arm)]).toEqual([2, 0])
  })

  test('was away, what was given up is fetched when it is asked for again', async () => {
    await using site = await start()
    using held = site.upstream.fault({ on: { kind: 'blob', method: 'GET' }, stallBeforeStatus: true })
    await site.get('library/app', '1')
    await held.struck(2)
    await site.upstream.stop()
    held[Symbol.dispose]()
    await expect
      .poll(() => site.edge.metrics('outport_prefetched_total', { outcome: 'failed' }))
      .toBeGreaterThan(0)
    await site.upstream.restart()

    await expect
      .poll(async () => {
        await ask(site.edge, '/v2/library/app/manifests/1')
        return heldBy(site.edge, 'library/app', app)
      })
      .toBe(true)
  })
})

describe('of an index', () => {
  test('nothing is fetched before one of its images is asked for, and then of that one only', async () => {
    await using site = await start()
    await site.get('library/many', '1')
    await site.get('library/many', arm.manifest.digest)
    await site.settled()
    expect([site.asked(arm), site.asked(app)]).toEqual([3, 0])
    expect(await heldBy(site.edge, 'library/many', arm)).toBe(true)
  })

  test('an attestation is no image that somebody pulls, nor a reason to leave the one beside it', async () => {
    await using site = await start()
    using held = site.upstream.fault({ on: { kind: 'blob', method: 'GET' }, stallBeforeStatus: true })
    await site.get('library/many', '1')
    await site.get('library/many', arm.manifest.digest)
    await held.struck(2)
    await site.get('library/many', proof.manifest.digest)
    held[Symbol.dispose]()
    await site.settled()
    expect([site.asked(arm), site.asked(proof)]).toEqual([3, 0])
  })

  test('the image of a platform that the project names is fetched at once, and of no other', async () => {
    await using site = await start({ prefetch: { platforms: ['linux/arm64'] } })
    await site.get('library/many', '1')
    await expect.poll(() => heldBy(site.edge, 'library/many', arm)).toBe(true)
    await site.get('library/many', app.manifest.digest)
    await site.settled()

    expect(site.asked(app)).toBe(0)
    const manifests = site.upstream.requests.filter(
      ({ kind, repository }) => kind === 'manifest' && repository === 'library/many',
    )
    expect(manifests.map(({ reference }) => reference)).toEqual([
      '1',
      arm.manifest.digest,
      app.manifest.digest,
    ])
    await site.upstream.stop()
    await site.get('library/many', arm.manifest.digest)
  })

  test('a client that asks for the manifests of all platforms brings no layers of them', async () => {
    await using site = await start()
    using held = site.upstream.fault({ on: { kind: 'blob', method: 'GET' }, stallBeforeStatus: true })
    await site.get('library/many', '1')
    await site.get('library/many', app.manifest.digest)
    await held.struck(2)
    await site.get('library/many', arm.manifest.digest)
    held[Symbol.dispose]()
    await site.settled()
    expect([site.asked(app), site.asked(arm)]).toEqual([2, 0])
  })
})
