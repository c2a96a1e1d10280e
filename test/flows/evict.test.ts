import { buffer } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { type FaultSite, layerOf, startSite } from '../faults/support/site.ts'
import { storedDigests } from '../faults/support/stored.ts'
import { fetchBlob, responseTo } from '../support/fetch-blob.ts'
import { buildImage, buildIndex, buildReferrer, type Image } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { digestsOf, jsonOf, linesOf, run } from './support/commands.ts'

const MiB = 1024 * 1024
const base = { layers: [MiB, 2 * MiB], seed: 'base', compression: 'none' } as const
const app = buildImage(base)
/** Its first layer is the other's. */
const tool = buildImage({ ...base, layers: [MiB, 3 * MiB] })
const arm = buildImage({ layers: [MiB], platform: 'linux/arm64' })
const index = buildIndex([{ image: app }, { image: arm }])

async function start(policy: { more?: object[]; project?: object } = {}): Promise<FaultSite> {
  const project = { freshness: [{ tag: '**', for: '1d' }], ...policy.project }
  const site = await startSite({ policy: { ...policy, project } })
  for (const [name, image] of [
    ['app', app],
    ['tool', tool],
  ] as const) {
    site.upstream.addImage(`library/${name}`, '1', image)
    await pull(site.edge.url, `library/${name}`, '1')
  }
  return site
}

const stored = async ({ edge }: FaultSite) => (await storedDigests(edge.data)).sort()
const imagesOf = async (site: FaultSite) =>
  linesOf((await run(site, ['ls'])).stdout)
    .slice(1)
    .map((line) => line.replace(/^.* /, ''))
const sorted = (digests: Iterable<string>) => [...new Set(digests)].sort()

describe.each(['while a node runs', 'while none does'])('evict %s', { timeout: 120_000 }, (when) => {
  async function startHere(policy = {}): Promise<FaultSite> {
    const site = await start(policy)
    if (when === 'while none does') await site.edge.stop()
    return site
  }

  test('gives up an image, and of its layers what no other one needs', async () => {
    await using site = await startHere()
    const told = await run(site, ['evict', 'app:1'])
    expect(told).toMatchObject({ code: 0, stderr: '' })
    expect(linesOf(told.stdout)).toEqual([
      'docker.io/library/app:1  gone, 2.0 MiB',
      'gave up 1 image: 3 manifests and layers, 2.0 MiB',
      'stayed: 1 manifests and layers, 1.0 MiB: other images need it',
    ])
    expect(await stored(site)).toEqual(digestsOf(tool))
    expect(await imagesOf(site)).toEqual(['docker.io/library/tool:1'])

    if (when === 'while none does') return
    site.upstream.clear()
    await pull(site.edge.url, 'library/app', '1')
    expect(site.upstream.blobBytes()).toBeLessThan(2.1 * MiB)
  })

  test('gives up all that a pattern names, and says before what would go', async () => {
    await using site = await startHere()
    const before = await stored(site)
    const dry = await run(site, ['evict', '--dry-run', '--json', 'library/*'])
    expect(dry.code).toBe(0)
    expect(jsonOf(dry)).toEqual([
      { kind: 'image', image: 'docker.io/library/app:1', bytes: expect.any(Number) },
      { kind: 'image', image: 'docker.io/library/tool:1', bytes: expect.any(Number) },
      { kind: 'end', images: 2, parts: 7, bytes: expect.any(Number), stayed: [] },
    ])
    expect(await stored(site)).toEqual(before)
    expect(await imagesOf(site)).toHaveLength(2)

    const told = await run(site, ['evict', '--json', 'docker.io/**'])
    expect(jsonOf(told)).toEqual(jsonOf(dry))
    expect(await stored(site)).toEqual([])
    expect(await imagesOf(site)).toEqual([])
  })

  test('leaves what is pinned, and says by what', async () => {
    const pins = { more: [{ kind: 'cache', pins: ['library/app'] }] }
    await using site = await startHere(pins)
    await run(site, ['pin', 'tool'])
    const told = await run(site, ['evict', '**'])
    expect([told.code, told.stderr]).toEqual([1, ''])
    expect(linesOf(told.stdout)).toEqual(
      expect.arrayContaining([
        'docker.io/library/app:1  stays: it is pinned by library/app',
        'docker.io/library/tool:1  stays: it is pinned by docker.io/library/tool',
        'gave up 0 images: 0 manifests and layers, 0 B',
      ]),
    )
    expect(await stored(site)).toEqual(sorted(digestsOf(app, tool)))
  })

  test('of what is not here says so', async () => {
    await using site = await startHere()
    const told = await run(site, ['evict', 'app:2', 'none.example/x', 'app:1'])
    expect([told.code, told.stderr]).toEqual([
      1,
      'outport: app:2: no such image is here\noutport: none.example/x: no such image is here\n',
    ])
    expect(told.stdout).toContain('docker.io/library/app:1  gone')
  })
})

describe('an image', { timeout: 120_000 }, () => {
  test('under two tags goes with the second', async () => {
    await using site = await start()
    site.upstream.addImage('library/app', '2', app)
    await pull(site.edge.url, 'library/app', '2')
    const first = await run(site, ['evict', 'app:2'])
    expect([first.code, linesOf(first.stdout)[0]]).toEqual([0, 'docker.io/library/app:2  gone, 0 B'])
    expect(await stored(site)).toEqual(sorted(digestsOf(app, tool)))
    expect(linesOf((await run(site, ['evict', 'app:1'])).stdout)[0]).toBe(
      'docker.io/library/app:1  gone, 2.0 MiB',
    )
    expect(await stored(site)).toEqual(digestsOf(tool))
  })

  test.each([
    ['dry', ['--dry-run']],
    ['really', []],
  ])('of several platforms goes with all of them and what refers to it: %s', async (_, options) => {
    const signature = buildReferrer({ subject: index.manifest, artifactType: 'a/b', bytes: Buffer.from('x') })
    await using site = await start()
    site.upstream.addImage('library/many', '1', index)
    site.upstream.addImage('library/many', undefined, signature)
    await run(site, ['pull', 'many:1'])
    await run(site, ['evict', 'app'])
    const told = await run(site, ['evict', '--json', ...options, 'many:1'])
    expect(told.code).toBe(0)
    // Index, two images, their configs and layers but for the one that is shared, the signature and its listings.
    expect(jsonOf(told).at(-1)).toMatchObject({ kind: 'end', images: 1 })
    if (options.length === 0) expect(await stored(site)).toEqual(digestsOf(tool))
    else expect(jsonOf(await run(site, ['evict', '--json', 'many:1']))).toEqual(jsonOf(told))
  })

  test('that was asked for by digest alone goes by digest, or with its repository', async () => {
    await using site = await start()
    site.upstream.addImage('library/arm', '1', arm)
    await fetchBlob(`${site.edge.url}/v2/library/arm/manifests/${arm.manifest.digest}`)
    await fetchBlob(`${site.edge.url}/v2/library/arm/blobs/${layerOf(arm).digest}`)
    const told = await run(site, ['evict', `arm@${arm.manifest.digest}`])
    expect(linesOf(told.stdout)[0]).toBe(`docker.io/library/arm@${arm.manifest.digest}  gone, 1.0 MiB`)
    await fetchBlob(`${site.edge.url}/v2/library/arm/blobs/${layerOf(arm).digest}`)
    expect((await run(site, ['evict', 'arm'])).code).toBe(0)
    expect(await stored(site)).toEqual(sorted(digestsOf(app, tool)))
  })

  test('in another project keeps what it needs', async () => {
    const eager = { kind: 'project', name: 'eager', proxy: 'upstream', public: true }
    await using site = await start({ more: [eager] })
    await pull(site.edge.url, 'eager/library/app', '1')
    const told = await run(site, ['evict', 'docker.io/library/app'])
    expect(told.stdout).toContain('other images need it')
    expect(await stored(site)).toEqual(sorted(digestsOf(app, tool)))
    site.upstream.clear()
    await pull(site.edge.url, 'eager/library/app', '1')
    expect(site.upstream.requests).toEqual([])
  })
})

test('what is being read stays, and who reads it reads on', async () => {
  const large = buildImage({ layers: [24 * MiB], seed: 'large', compression: 'none' })
  await using site = await start()
  site.upstream.addImage('library/large', '1', large)
  await pull(site.edge.url, 'library/large', '1')
  const { digest, bytes } = layerOf(large)
  const reading = await responseTo(`${site.edge.url}/v2/library/large/blobs/${digest}`)
  const told = await run(site, ['evict', 'large'])
  expect(told.stdout).toContain('stayed: 1 manifests and layers, 24.0 MiB: it is being read\n')
  expect(await stored(site)).toContain(digest)
  expect((await buffer(reading)).equals(bytes)).toBe(true)
  const readToTheEnd = async () => (await run(site, ['evict', 'large'])).stdout
  expect(await readToTheEnd()).toContain('gave up 0 images: 1 manifests and layers, 24.0 MiB')
})

test('what is being fetched is fetched on', async () => {
  const large = buildImage({ layers: [6 * MiB], seed: 'fetched', compression: 'none' })
  await using site = await start()
  site.upstream.addImage('library/large', '1', large)
  const { digest } = layerOf(large)
  const stalled = site.upstream.fault({ on: { kind: 'blob', digest }, stallAt: 2 * MiB })
  const pulling = pull(site.edge.url, 'library/large', '1')
  await stalled.struck()
  expect((await run(site, ['evict', 'large'])).code).toBe(0)
  stalled[Symbol.dispose]()
  await pulling
  expect(await stored(site)).toContain(digest)
})

test('given up over and over while twenty clients pull: no pull fails, and what is left is right', {
  timeout: 120_000,
}, async () => {
  const images: Image[] = Array.from({ length: 8 }, (_, at) =>
    buildImage({ ...base, layers: [MiB, 300_000 + at], seed: 'base' }),
  )
  await using site = await start()
  for (const [at, image] of images.entries()) site.upstream.addImage(`library/app${at}`, '1', image)
  const failures: string[] = []
  let pulls = 0
  const over = new AbortController()
  const readers = Array.from({ length: 20 }, async (_, reader) => {
    for (let turn = reader; !over.signal.aborted; turn += 3) {
      await pull(site.edge.url, `library/app${turn % 8}`, '1').catch((error) => failures.push(`${error}`))
      pulls += 1
    }
  })
  for (let turn = 0; turn < 6; turn += 1) await run(site, ['evict', turn % 2 ? '**' : 'library/app*'])
  over.abort()
  await Promise.all(readers)
  expect(failures).toEqual([])
  expect(pulls).toBeGreaterThan(40)
  expect((await run(site, ['fsck'])).code).toBe(0)
})
