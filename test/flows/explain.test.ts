import { expect, test } from 'vitest'
import { type FaultSite, layerOf, type SiteOptions, startSite } from '../faults/support/site.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { jsonOf, linesOf, run } from './support/commands.ts'
import { ask } from './support/mirror.ts'

const app = buildImage({ layers: [200_000], seed: 'explained', compression: 'none' })
const arm = buildImage({ layers: [100_000], platform: 'linux/arm64' })
const index = buildIndex([{ image: app }, { image: arm }])
const project = { freshness: [{ tag: '1*', for: '2d' }], stale: { when: 'not-found', for: '30d' } }

async function start(options: Partial<SiteOptions> & { more?: object[] } = {}): Promise<FaultSite> {
  const { more = [], ...rest } = options
  const site = await startSite({ policy: { project, more }, ...rest })
  site.upstream.addImage('library/app', '1.2', index)
  await pull(site.edge.url, 'library/app', '1.2')
  site.upstream.clear()
  return site
}

async function explained(site: FaultSite, image: string) {
  const [told] = jsonOf(await run(site, ['explain', '--json', image]))
  return told
}

test('tells the names, the rules, the upstream, what is here and when it goes, and asks nobody', {
  timeout: 120_000,
}, async () => {
  await using site = await start({ env: { OUTPORT_MIRROR_LISTEN: '127.0.0.1:0' } })
  const told = await explained(site, 'app:1.2')
  const url = expect.stringContaining(site.edge.url)
  expect(told).toMatchObject({
    image: 'docker.io/library/app:1.2',
    names: expect.arrayContaining([
      { face: 'registry', url, name: 'docker.io/library/app' },
      { face: 'registry', url, name: 'library/app' },
      { face: 'registry', url, name: 'library/app', ns: 'docker.io' },
      { face: 'mirror', url: expect.stringContaining(site.edge.mirrorUrl), name: 'library/app' },
    ]),
    project: {
      name: 'docker.io',
      kind: 'mirror',
      isPublic: true,
      freshness: { tag: '1*', forMs: 172_800_000 },
    },
    upstream: { registry: 'upstream', urls: [site.upstream.url], repository: 'library/app', isDown: false },
    cache: {
      digest: index.manifest.digest,
      isWhole: false,
      parts: 5,
      missing: [{ digest: arm.manifest.digest }],
    },
    eviction: { kind: 'evictable', afterBytes: expect.any(Number) },
  })
  expect(Date.parse(told.cache.freshUntil) - Date.parse(told.cache.checkedAt)).toBe(172_800_000)
  for (const { url: door, name, ns } of told.names) {
    const query = ns === undefined ? '' : `?ns=${ns}`
    const answer = await ask(site.edge, `${door.replace(/\/$/, '')}/v2/${name}/manifests/1.2${query}`)
    expect([name, ns, answer.status]).toEqual([name, ns, 200])
  }
  expect(site.upstream.requests).toEqual([])
})

test('is the same without a node, but for its doors', { timeout: 120_000 }, async () => {
  await using site = await start()
  const { names, upstream, ...told } = await explained(site, 'docker.io/library/app:1.2')
  await site.edge.stop()
  const offline = await explained(site, 'docker.io/library/app:1.2')
  expect(offline).toMatchObject({ project: told.project, cache: told.cache, image: told.image })
  expect(offline.names).toContainEqual({ face: 'registry', name: 'docker.io/library/app' })
  expect([names.length > 0, upstream.registry]).toEqual([true, 'upstream'])
})

test('is for people, in lines', { timeout: 120_000 }, async () => {
  await using site = await start()
  const told = await run(site, ['explain', `app@${app.manifest.digest}`])
  expect(told).toMatchObject({ code: 0, stderr: '' })
  expect(linesOf(told.stdout)).toEqual([
    `image     docker.io/library/app@${app.manifest.digest}`,
    expect.stringMatching(/^served {4}at the registry door http:\S+, as docker\.io\/library\/app$/),
    expect.stringMatching(/^served {4}at the registry door http:\S+, as library\/app$/),
    expect.stringMatching(/^served {4}at the registry door http:\S+, as library\/app with ns=docker\.io$/),
    'project   docker.io, mirror, public',
    'rules     stale on not-found for 30d',
    `upstream  upstream (${site.upstream.url}), library/app; answers, as far as is known`,
    `digest    ${app.manifest.digest}`,
    expect.stringMatching(/^here {6}whole: 3 parts, \d+\.\d KiB$/),
    'used      0 min ago',
    expect.stringMatching(
      /^eviction {2}(not now: it is in use|when room is needed, after \S+ \S+ that were not used)/,
    ),
  ])
})

test('says what is pinned and by whom, what is not here, and whose upstream does not answer', {
  timeout: 120_000,
}, async () => {
  await using site = await start({ more: [{ kind: 'cache', pins: ['library/app'], maxAge: '90d' }] })
  expect((await explained(site, 'app:1.2')).eviction).toEqual({
    ...{ kind: 'pinned', pattern: 'library/app', from: 'policies' },
  })
  await run(site, ['pin', 'other'])
  const other = await explained(site, 'other')
  expect(other).toMatchObject({
    image: 'docker.io/library/other:latest',
    cache: { isWhole: false, bytes: 0, parts: 0, missing: [] },
    eviction: { kind: 'pinned', pattern: 'docker.io/library/other', from: 'command' },
  })
  expect(await explained(site, 'third')).toMatchObject({ eviction: { kind: 'absent' } })
  await site.upstream.stop()
  const afterAsking = async () => {
    await site.askTag('never')
    return (await explained(site, 'third')).upstream.isDown
  }
  await expect.poll(afterAsking, { timeout: 20_000 }).toBe(true)
})

test('of a private project says that nobody is served', { timeout: 120_000 }, async () => {
  const more = [{ kind: 'project', name: 'secret', proxy: 'upstream', public: ['team/**'] }]
  await using site = await start({ more })
  expect((await explained(site, 'secret/other/app')).names).toEqual([])
  expect((await run(site, ['explain', 'secret/other/app'])).stdout).toContain(
    'served    to nobody: it is not public\n',
  )
  expect((await explained(site, 'secret/team/app')).names).toContainEqual(
    expect.objectContaining({ name: 'secret/team/app' }),
  )
})

test('says in one line what names no image', { timeout: 120_000 }, async () => {
  await using site = await start()
  for (const [image, message] of [
    ['quay.io/a/b', 'no project mirrors quay.io'],
    [
      'app:1:2',
      'expected an image such as nginx, library/nginx:1.27 or ghcr.io/org/app@sha256:…, found "app:1:2"',
    ],
  ] as const)
    expect(await run(site, ['explain', image])).toEqual({
      code: 1,
      stdout: '',
      stderr: `outport: ${message}\n`,
    })
})

test('of a layer that is not here says which and how large', { timeout: 120_000 }, async () => {
  await using site = await start()
  await run(site, ['pull', 'app:1.2'])
  expect((await explained(site, 'app:1.2')).cache).toMatchObject({ isWhole: true, missing: [] })
  const half = buildImage({ layers: [5000], seed: 'half' })
  site.upstream.addImage('library/half', '1', half)
  await ask(site.edge, '/v2/library/half/manifests/1')
  const { cache } = await explained(site, 'half:1')
  expect(cache.missing).toContainEqual({
    ...{ digest: layerOf(half).digest, kind: 'blob', bytes: layerOf(half).bytes.length },
  })
})
