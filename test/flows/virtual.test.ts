import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createPusher } from '../support/hosted.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { rawRequest } from '../support/raw-request.ts'
import { startVirtual, type VirtualSite } from './support/virtual.ts'

const theirs = buildImage({ layers: [20_000, 90_000], seed: 'theirs' })
const moved = buildImage({ layers: [30_000], seed: 'moved' })
const ours = buildImage({ layers: [40_000], seed: 'ours' })
const newer = buildImage({ layers: [50_000], seed: 'newer' })
const theirDigest = theirs.manifest.digest
const movedDigest = moved.manifest.digest
const ourDigest = ours.manifest.digest
const newerDigest = newer.manifest.digest
const slow = 120_000

/** Upstream has `library/app` under `latest` and `1`, and under `latest` something of our own has been pushed. */
async function start(options?: Parameters<typeof startVirtual>[0]): Promise<VirtualSite> {
  const site = await startVirtual(options)
  site.upstream.addImage('library/app', 'latest', theirs)
  site.upstream.addImage('library/app', '1', theirs)
  const { status, body } = await site.admin.pushImage('lib/app', ours, 'latest')
  if (status !== 201) throw new Error(`the push is answered ${status}: ${body}`)
  return site
}

/** All that has reached upstream, reads apart. */
const writesTo = ({ upstream }: VirtualSite) =>
  upstream.requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD')

test(
  'an own tag goes before that of upstream, which is not asked for it: online, offline, after a restart',
  async () => {
    await using site = await start()
    const { upstream, edge } = site
    expect(upstream.requests).toEqual([])
    expect(await site.digestOf('latest')).toBe(ourDigest)
    expect(await site.digestOf('1')).toBe(theirDigest)
    expect(upstream.count({ reference: 'latest' })).toBe(0)
    const pulled = await pull(edge.url, 'lib/app', '1')
    expect(pulled.digest).toBe(theirDigest)

    // A mirrored tag follows upstream, and an own one does not.
    upstream.addImage('library/app', 'latest', moved)
    upstream.addImage('library/app', '1', moved)
    expect(await site.digestOf('latest')).toBe(ourDigest)
    expect(await site.digestOf('1')).toBe(movedDigest)

    await upstream.stop()
    expect((await pull(edge.url, 'lib/app', 'latest')).digest).toBe(ourDigest)
    await edge.restart()
    expect((await pull(edge.url, 'lib/app', 'latest')).digest).toBe(ourDigest)
    const { headers } = await createPusher(edge, {}).send('GET', '/v2/lib/app/manifests/latest')
    expect([headers.get('x-outport-cache'), headers.get('warning'), headers.get('age')]).toEqual([
      'hit',
      null,
      null,
    ])
    await upstream.restart()
    await edge.kill()
    await edge.restart()
    expect(await site.digestOf('latest')).toBe(ourDigest)
    expect(upstream.count({ reference: 'latest' })).toBe(0)
    expect(writesTo(site)).toEqual([])
  },
  slow,
)

test(
  'what upstream holds under the names of others is never what was pushed here',
  async () => {
    await using site = await start({ env: { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' } })
    const nobody = createPusher(site.edge, {})
    const digestAt = async (path: string) =>
      (await nobody.send('GET', path)).headers.get('docker-content-digest')
    const { mirrorUrl } = site.edge
    expect(await digestAt('/v2/docker.io/library/app/manifests/latest')).toBe(theirDigest)
    // The project with the longer path is `lib`.
    expect(await digestAt('/v2/library/app/manifests/latest?ns=docker.io')).toBe(theirDigest)
    expect(await digestAt(`${mirrorUrl}/v2/library/app/manifests/latest`)).toBe(theirDigest)
    expect(await digestAt(`${mirrorUrl}/v2/library/app/manifests/latest?ns=docker.io`)).toBe(theirDigest)
    expect((await nobody.send('GET', '/v2/library/app/manifests/latest')).status).toBe(401)
  },
  slow,
)

test(
  'by the host name of a registry `ns` still asks for that registry, and its plain names for the nearest project',
  async () => {
    const corp = { kind: 'registry', name: 'corp', type: 'docker-registry', ns: 'corp.example' }
    await using site = await start({
      more: [
        { ...corp, url: 'http://127.0.0.1:9', serveAs: ['hub.corp'] },
        {
          kind: 'project',
          name: 'tools',
          proxy: { registry: 'corp', path: 'team' },
          public: true,
          push: true,
        },
      ],
    })
    const own = buildImage({ layers: [2000], seed: 'own tool' })
    await site.admin.pushImage('tools/app', own, '1')
    const asked = async (query: string) => {
      const path = `/v2/team/app/manifests/1${query}`
      const { status } = await rawRequest(
        '127.0.0.1',
        site.edge.port,
        `GET ${path} HTTP/1.1\r\nHost: hub.corp\r\n\r\n`,
      )
      return status
    }
    expect(await asked('')).toBe(200)
    // As what is not there.
    for (const query of ['?ns=corp.example', '?ns=hub.corp']) expect(await asked(query)).toBe(401)
  },
  slow,
)

test(
  'when an own tag is deleted, or what it stands for, its name is upstream’s again',
  async () => {
    await using site = await start()
    const { admin } = site
    const remove = async (reference: string) =>
      (await admin.send('DELETE', `/v2/lib/app/manifests/${reference}`)).status
    expect(await remove('latest')).toBe(202)
    expect(await site.digestOf('latest')).toBe(theirDigest)

    await admin.putManifest('lib/app', ours.manifest, 'latest')
    await admin.putManifest('lib/app', ours.manifest, 'ours')
    expect([await site.digestOf('latest'), await site.digestOf('ours')]).toEqual([ourDigest, ourDigest])
    expect(await remove(ourDigest)).toBe(202)
    expect([await site.digestOf('latest'), await site.digestOf('ours')]).toEqual([theirDigest, 404])
    expect(await site.digestOf(ourDigest)).toBe(404)
    await site.edge.restart()
    expect(await site.digestOf('latest')).toBe(theirDigest)
    expect(writesTo(site)).toEqual([])
  },
  slow,
)

test(
  'what came from upstream can be deleted here, and comes again from there',
  async () => {
    await using site = await start()
    const { admin, upstream, edge } = site
    await pull(edge.url, 'lib/app', '1')
    const layer = theirs.layers[1]?.digest ?? ''
    for (const path of ['manifests/1', `manifests/${theirDigest}`, `blobs/${layer}`])
      expect([path, (await admin.send('DELETE', `/v2/lib/app/${path}`)).status]).toEqual([path, 202])
    expect((await admin.send('DELETE', '/v2/lib/app/manifests/never-asked-for')).status).toBe(404)
    upstream.clear()
    expect((await pull(edge.url, 'lib/app', '1')).digest).toBe(theirDigest)
    expect(upstream.count({ kind: 'manifest', method: 'GET', reference: theirDigest })).toBe(1)

    // Pushed, deleted, and upstream has it too.
    await admin.pushImage('lib/app', theirs, 'mine')
    await admin.send('DELETE', `/v2/lib/app/manifests/${theirDigest}`)
    expect(await site.digestOf('mine')).toBe(404)
    expect(await site.digestOf(theirDigest)).toBe(theirDigest)
    expect(writesTo(site)).toEqual([])
  },
  slow,
)

test(
  'a tag that is pushed while upstream is asked for it stays what was pushed, and is what is answered',
  async () => {
    await using site = await start({ project: { stale: { when: 'never' } } })
    const { upstream, admin } = site
    upstream.addImage('library/app', 'new', theirs)
    expect(await site.digestOf('1')).toBe(theirDigest)
    upstream.addImage('library/app', '1', moved)
    for (const [tag, image, digest] of [
      // One that is known and has moved, and one that nothing is known of.
      ['1', ours, ourDigest],
      ['new', newer, newerDigest],
    ] as const) {
      using stall = upstream.fault({ on: { kind: 'manifest', reference: tag }, stallBeforeStatus: true })
      const asked = Promise.all([site.digestOf(tag), site.digestOf(tag)])
      await stall.struck()
      expect((await admin.pushImage('lib/app', image, tag)).status).toBe(201)
      expect(await site.digestOf(tag)).toBe(digest)
      stall.release()
      expect(await asked).toEqual([digest, digest])
      expect(await site.digestOf(tag)).toBe(digest)
    }
    await site.edge.restart()
    await upstream.stop()
    expect([await site.digestOf('1'), await site.digestOf('new')]).toEqual([ourDigest, newerDigest])
  },
  slow,
)

test(
  'a tag is answered with what was pushed while upstream failed',
  async () => {
    await using site = await start()
    const { upstream, admin } = site
    using broken = upstream.fault({ on: { reference: 'fresh' }, stallBeforeStatus: true, status: 500 })
    const asked = site.digestOf('fresh')
    await broken.struck()
    await admin.pushImage('lib/app', newer, 'fresh')
    broken.release()
    expect(await asked).toBe(newerDigest)
  },
  slow,
)

test(
  'only tags that shadow names are pushed, also while upstream is gone; all else is left to upstream',
  async () => {
    const project = { shadow: ['*-acme', 'sha256-*'] }
    await using site = await startVirtual({ project })
    const { upstream, admin, edge } = site
    upstream.addImage('library/app', 'latest', theirs)
    await admin.pushImage('lib/app', ours, '1-acme')
    await upstream.stop()
    for (const [reference, query] of [
      ['latest', ''],
      ['1', ''],
      [ourDigest, '?tag=2-acme&tag=latest'],
    ]) {
      const said = await admin.putManifest('lib/app', ours.manifest, `${reference}${query}`)
      expect([said.status, said.code]).toEqual([403, 'DENIED'])
      expect(said.body.toString()).toContain('the setting shadow of project lib allows *-acme, sha256-*')
    }
    expect((await admin.putManifest('lib/app', ours.manifest, `${ourDigest}?tag=2-acme`)).status).toBe(201)
    expect([await site.digestOf('1-acme'), await site.digestOf('2-acme')]).toEqual([ourDigest, ourDigest])
    await upstream.restart()
    await expect.poll(() => site.digestOf('latest'), { timeout: 20_000 }).toBe(theirDigest)
    expect((await createPusher(edge, {}).putManifest('lib/app', ours.manifest, '1-acme')).status).toBe(401)
  },
  slow,
)

test(
  'what was pushed is served still, by the name of the project alone, when that is not pushed to any more',
  async () => {
    await using site = await start({ project: { public: false } })
    const { edge, admin } = site
    const file = join(edge.policies, 'site.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace('push: true', 'push: false'))
    await edge.restart()
    const { status, headers } = await admin.send('GET', '/v2/lib/app/manifests/latest')
    expect([status, headers.get('docker-content-digest')]).toEqual([200, ourDigest])
    const asOthers = await admin.send('GET', '/v2/library/app/manifests/latest?ns=docker.io')
    expect([asOthers.status, asOthers.headers.get('docker-content-digest')]).toEqual([200, theirDigest])
    const put = await admin.putManifest('lib/app', ours.manifest, 'latest')
    expect([put.status, put.code]).toEqual([403, 'DENIED'])
    expect((await admin.send('DELETE', '/v2/lib/app/manifests/latest')).status).toBe(405)
  },
  slow,
)
