import { expect, test } from 'vitest'
import { createPusher, type Pusher } from '../support/hosted.ts'
import { blobsOf, buildImage, buildIndex, type Image } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { startVirtual, type VirtualSite } from './support/virtual.ts'

const base = buildImage({ layers: [20_000, 300_000], seed: 'base' })
const arm = buildImage({ layers: [60_000], seed: 'arm', platform: 'linux/arm64' })
const index = buildIndex([{ image: base }, { image: arm }])
const layer = base.layers[1] as (typeof base.layers)[0]
const slow = 120_000

async function start(options?: Parameters<typeof startVirtual>[0]): Promise<VirtualSite> {
  const site = await startVirtual(options)
  site.upstream.addImage('library/app', '1', index)
  return site
}

const asks = async (client: Pusher, method: string, path: string) =>
  (await client.send(method, `/v2/lib/app/${path}`)).status

test(
  'who has come to push is told of what he need not send, and upstream is not asked for it',
  async () => {
    await using site = await start()
    const { upstream, edge, admin } = site
    const blob = `blobs/${layer.digest}`
    const pusher = await site.bearer('lib/app', 'pull,push', 'admin')
    const puller = await site.bearer('lib/app', 'pull', 'admin')
    const nobody = createPusher(edge, {})
    for (const client of [admin, pusher]) expect(await asks(client, 'HEAD', blob)).toBe(404)
    for (const reference of ['1', index.manifest.digest, base.manifest.digest])
      expect(await asks(pusher, 'HEAD', `manifests/${reference}`)).toBe(404)
    // He shows his token when he is asked for it.
    const said = await nobody.send('HEAD', `/v2/lib/app/${blob}`)
    expect([said.status, said.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringContaining('scope="repository:lib/app:pull"'),
    ])
    expect(upstream.requests).toEqual([])

    // Others are answered as by any mirror.
    for (const client of [puller, await site.bearer('lib/app', 'pull')]) {
      expect(await asks(client, 'HEAD', blob)).toBe(200)
      expect(await asks(client, 'HEAD', 'manifests/1')).toBe(200)
    }
    expect(await asks(admin, 'HEAD', 'manifests/1')).toBe(200)

    // What is here need not be sent, be it of upstream; a manifest has to be.
    await pull(edge.url, 'lib/app', '1')
    upstream.clear()
    for (const client of [admin, pusher]) expect(await asks(client, 'HEAD', blob)).toBe(200)
    for (const reference of ['1', base.manifest.digest])
      expect(await asks(pusher, 'HEAD', `manifests/${reference}`)).toBe(404)
    expect((await admin.putManifest('lib/app', base.manifest, 'mine')).status).toBe(201)
    for (const reference of ['mine', base.manifest.digest])
      expect(await asks(pusher, 'HEAD', `manifests/${reference}`)).toBe(200)
    expect(upstream.requests).toEqual([])
  },
  slow,
)

test(
  'a tag that shadow leaves to upstream is looked at as in any mirror, whoever looks',
  async () => {
    await using site = await start({ project: { shadow: ['*-acme'] } })
    const pusher = await site.bearer('lib/app', 'pull,push', 'admin')
    expect(await asks(pusher, 'HEAD', 'manifests/1')).toBe(200)
  },
  slow,
)

test(
  'a new name for what upstream has brings all of it here, and keeps it: it needs upstream no more, and nothing evicts it',
  async () => {
    await using site = await start({ project: { public: false } })
    const { upstream, edge, admin } = site
    expect((await admin.putManifest('lib/app', index.manifest, 'mine')).status).toBe(201)
    for (const { digest } of [...blobsOf(base), ...blobsOf(arm)])
      expect(upstream.count({ kind: 'blob', method: 'GET', digest })).toBe(1)
    expect(upstream.requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([])
    const { stdout } = await site.run('evict', 'lib/**')
    expect(stdout).toContain('it was pushed here')
    await upstream.stop()
    await edge.restart()
    const { headers } = await admin.send('GET', '/v2/lib/app/manifests/mine')
    expect(headers.get('warning')).toBeNull()
    for (const platform of ['linux/amd64', 'linux/arm64']) {
      const shown = { authorization: `Basic ${Buffer.from('admin:correct horse').toString('base64')}` }
      expect((await pull(edge.url, 'lib/app', 'mine', { platform, headers: shown })).digest).toBe(
        index.manifest.digest,
      )
    }
  },
  slow,
)

test(
  'with sparse a new name is all that is pushed, and the rest comes as it is asked for',
  async () => {
    await using site = await start({ project: { sparse: true } })
    const { upstream, edge, admin } = site
    expect((await admin.putManifest('lib/app', index.manifest, 'mine')).status).toBe(201)
    expect(upstream.requests).toEqual([])
    expect((await pull(edge.url, 'lib/app', 'mine')).digest).toBe(index.manifest.digest)
    expect(upstream.count({ kind: 'blob', method: 'GET', digest: arm.layers[0]?.digest ?? '' })).toBe(0)
  },
  slow,
)

test(
  'what neither side has is named, and what upstream might have is 503 while it is gone',
  async () => {
    await using site = await start()
    const { upstream, admin } = site
    const [one, other] = ['one', 'other'].map((seed) => buildImage({ layers: [4000], seed })) as [
      Image,
      Image,
    ]
    const refused = await admin.putManifest('lib/app', one.manifest, 'one')
    expect([refused.status, refused.code]).toEqual([404, 'MANIFEST_BLOB_UNKNOWN'])
    for (const { digest } of blobsOf(one)) expect(refused.body.toString()).toContain(digest)
    // Of what is not there at all it is not asked for ever.
    upstream.clear()
    const many = buildIndex(
      Array.from({ length: 30 }, (_, at) => ({ image: buildImage({ layers: [10], seed: `many ${at}` }) })),
    )
    expect((await admin.putManifest('lib/app', many.manifest, 'many')).code).toBe('MANIFEST_BLOB_UNKNOWN')
    expect(upstream.requests).toHaveLength(10)
    await upstream.stop()
    const unknown = await admin.putManifest('lib/app', other.manifest, 'other')
    expect([unknown.status, unknown.headers.has('retry-after')]).toEqual([503, true])
    expect((await admin.pushImage('lib/app', other, 'other')).status).toBe(201)
    expect(await site.digestOf('other')).toBe(other.manifest.digest)
  },
  slow,
)

test(
  'a push is complete while the cache is being emptied',
  async () => {
    await using site = await start({ more: [{ kind: 'cache', budget: '1GiB' }] })
    const { edge, admin } = site
    let isOver = false
    const emptied = (async () => {
      while (!isOver) await site.run('evict', 'lib/app:1')
    })()
    try {
      for (let round = 0; round < 8; round += 1) {
        await pull(edge.url, 'lib/app', '1')
        expect((await admin.putManifest('lib/app', base.manifest, `mine-${round}`)).status).toBe(201)
        expect((await pull(edge.url, 'lib/app', `mine-${round}`)).digest).toBe(base.manifest.digest)
        await admin.send('DELETE', `/v2/lib/app/manifests/${base.manifest.digest}`)
        for (const { digest } of blobsOf(base)) await admin.send('DELETE', `/v2/lib/app/blobs/${digest}`)
      }
    } finally {
      isOver = true
      await emptied
    }
  },
  slow,
)

test(
  'blobs are mounted from what is here, own or mirrored, and sent where they are not',
  async () => {
    await using site = await start()
    const { upstream, edge, admin } = site
    const mount = (to: string, from: string) =>
      admin.send('POST', `/v2/${to}/blobs/uploads/?mount=${layer.digest}&from=${from}`)
    expect((await mount('lib/tool', 'lib/app')).status).toBe(202)
    expect(upstream.requests).toEqual([])
    await pull(edge.url, 'lib/app', '1')
    expect((await mount('lib/tool', 'lib/app')).status).toBe(201)
    expect((await mount('team/tool', 'lib/app')).status).toBe(201)
    await admin.pushImage('lib/tool', base, '1')
    upstream.removeBlob(layer.digest)
    expect((await pull(edge.url, 'lib/tool', '1')).digest).toBe(base.manifest.digest)
  },
  slow,
)
