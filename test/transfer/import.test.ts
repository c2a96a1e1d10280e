import { mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { flip } from '../faults/support/stored.ts'
import { blobsOf, buildImage, buildIndex, contentOf, type Image } from '../support/images.ts'
import { tarOf } from '../support/tar.ts'
import {
  addManifest,
  addToRegistryData,
  blobFile,
  put,
  repositoryFolder,
  revisionFolder,
} from './support/registry-data.ts'
import { type HostedSite, hostedSite } from './support/site.ts'

const good = buildImage({ layers: [30_000], seed: 'good' })
const bad = buildImage({ layers: [40_000, 2_000], seed: 'bad' })
const slow = 60_000

function layerOf({ layers: [layer] }: Image) {
  if (!layer) throw new Error('an image without layers')
  return layer
}
const linesOf = (text: string) => text.trimEnd().split('\n')

async function siteWith(
  prepare: (data: string) => Promise<unknown>,
): Promise<HostedSite & { registry: string }> {
  const site = await hostedSite()
  const registry = join(site.scratch, 'registry')
  await addToRegistryData(registry, 'good', good, '1')
  await prepare(registry)
  return { ...site, registry }
}

describe('what is wrong in a registry is named, and the rest comes in', () => {
  test.each<[string, (data: string) => Promise<unknown>, RegExp[]]>([
    [
      'a layer with other bytes',
      (data) => flip(blobFile(data, layerOf(bad).digest), 100),
      [/bad@sha256:\w+: is incomplete: sha256:\w+ has other bytes/, /bad:1: does not come in/],
    ],
    [
      'a layer that was cut',
      (data) => truncate(blobFile(data, layerOf(bad).digest), 100),
      [/has 100 bytes, and its manifest says/],
    ],
    [
      'a layer that is not there',
      (data) => rm(blobFile(data, layerOf(bad).digest)),
      [/is incomplete: sha256:\w+ is not there/],
    ],
    [
      'a manifest with other bytes',
      (data) => flip(blobFile(data, bad.manifest.digest), 10),
      [/bad@sha256:\w+: has other bytes/],
    ],
    [
      'a link file with garbage',
      (data) =>
        writeFile(join(revisionFolder(data, 'bad', bad.manifest.digest), 'link'), '../../../etc/passwd'),
      [
        /its link is no digest: "\.\.\/\.\.\/\.\.\/etc\/passwd"/,
        /bad:1: stands for .* which is not in the repository/,
      ],
    ],
    [
      'a link to another manifest',
      (data) =>
        writeFile(join(revisionFolder(data, 'bad', bad.manifest.digest), 'link'), good.manifest.digest),
      [/links to sha256:/],
    ],
    [
      'a layer that is a link to elsewhere',
      (data) => replaceByLink(blobFile(data, layerOf(bad).digest), '/etc/passwd'),
      [/is incomplete: sha256:\w+ is a link that leads out of /],
    ],
    [
      'a folder that is a link',
      (data) => symlink('/etc', join(repositoryFolder(data, 'etc'))),
      [/repositories\/etc: is a link; skipped/],
    ],
  ])(
    '%s',
    async (_, spoil, expected) => {
      await using site = await siteWith(async (data) => {
        await addToRegistryData(data, 'bad', bad, '1')
        await spoil(data)
      })
      const told = await site.run('import', site.registry, '--into', 'team')
      expect(told.code).toBe(1)
      for (const line of expected) expect(linesOf(told.stderr)).toContainEqual(expect.stringMatching(line))
      const edge = await site.start()
      expect((await fetch(`${edge.url}/v2/team/good/manifests/1`)).status).toBe(200)
      const answer = await fetch(`${edge.url}/v2/team/bad/manifests/1`)
      expect(answer.status).toBe(expected.some((line) => line.source.includes('etc: is a link')) ? 200 : 404)
      expect((await site.run('fsck')).stdout).toMatch(/: 0 rotten, 0 absent, 0 unknown/)
    },
    slow,
  )

  test(
    'too large a manifest, names that do not fit, and what no manifest is',
    async () => {
      const large = contentOf(
        'application/vnd.oci.image.manifest.v1+json',
        Buffer.from(`{"schemaVersion":2,"x":"${'x'.repeat(4 * 1024 * 1024)}"}`),
      )
      const schema1 = contentOf('application/json', Buffer.from('{"schemaVersion":1}'))
      await using site = await siteWith(async (data) => {
        await addManifest(data, 'large', large, '1')
        await addManifest(data, 'schema1', schema1, '1')
        await addToRegistryData(data, 'Upper', bad, '1')
      })
      const told = await site.run('import', site.registry, '--into', 'team')
      expect(told.code).toBe(1)
      expect(told.stderr).toMatch(/large@sha256:\w+: has \d+ bytes, and 4194304 are the most/)
      expect(told.stderr).toMatch(/schema1@sha256:\w+: manifest invalid: schemaVersion is not 2/)
      expect(told.stderr).toMatch(/^Upper: is no repository name here/m)
      const without = await site.run('import', site.registry)
      expect(without.stderr).toMatch(/^good: names no project: say --into PROJECT; there are team$/m)
    },
    slow,
  )
})

test(
  'an index comes in with the images that are there',
  async () => {
    const elsewhere = buildImage({ layers: [100], platform: 'linux/arm64' })
    const index = buildIndex([{ image: good }, { image: elsewhere }])
    await using site = await siteWith((data) => addManifest(data, 'good', index.manifest, 'both'))
    expect(await site.run('import', site.registry, '--into', 'team')).toMatchObject({ code: 0, stderr: '' })
    const edge = await site.start()
    const answer = await fetch(`${edge.url}/v2/team/good/manifests/both`)
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(index.manifest.bytes)
  },
  slow,
)

test(
  'a tag that has moved since stays, unless it is to follow',
  async () => {
    await using site = await siteWith(async () => {})
    await site.run('import', site.registry, '--into', 'team')
    await addToRegistryData(site.registry, 'good', bad, '1')
    const kept = await site.run('import', site.registry, '--into', 'team')
    expect(kept).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^team\/good:1: stands for sha256:.*it stays/),
    })
    expect(await site.run('import', site.registry, '--into', 'team', '--replace')).toMatchObject({
      code: 0,
      stderr: '',
    })
    const edge = await site.start()
    const answer = await fetch(`${edge.url}/v2/team/good/manifests/1`)
    expect(answer.headers.get('docker-content-digest')).toBe(bad.manifest.digest)
  },
  slow,
)

test(
  '--copy keeps the two apart',
  async () => {
    await using site = await siteWith(async () => {})
    expect((await site.run('import', site.registry, '--into', 'team', '--copy')).stdout).toMatch(
      / 0 blobs linked and 2 copied/,
    )
    await flip(blobFile(site.registry, layerOf(good).digest), 5)
    expect((await site.run('fsck')).code).toBe(0)
  },
  slow,
)

describe('an archive', () => {
  const at = (digest: string) => `blobs/${digest.replace(':', '/')}`
  const index = (name: string) =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          {
            mediaType: good.manifest.mediaType,
            digest: good.manifest.digest,
            size: good.manifest.bytes.length,
            annotations: { 'org.opencontainers.image.ref.name': name },
          },
        ],
      }),
    )
  const files = [
    { name: 'oci-layout', bytes: Buffer.from('{"imageLayoutVersion":"1.0.0"}') },
    ...[good.manifest, ...blobsOf(good)].map(({ digest, bytes }) => ({ name: at(digest), bytes })),
  ]

  test(
    'with names that lead out of it, and what is in it twice',
    async () => {
      await using site = await hostedSite()
      const tar = join(site.scratch, 'nasty.tar')
      const nasty = [
        { name: '../../evil', bytes: Buffer.from('x') },
        { name: '/tmp/evil', bytes: Buffer.from('x') },
        { name: at(layerOf(good).digest), bytes: Buffer.from('other') },
      ]
      await writeFile(tar, tarOf([...files, ...nasty, { name: 'index.json', bytes: index('team/app:1') }]))
      const told = await site.run('import', tar)
      expect(told.code).toBe(1)
      expect(told.stderr).toMatch(/^\.\.\/\.\.\/evil: leads out of the archive; skipped$/m)
      expect(told.stderr).toMatch(/^\/tmp\/evil: leads out of the archive; skipped$/m)
      expect(told.stderr).toMatch(/is in the archive twice; the first one counts$/m)
      expect(told.stdout).toMatch(/^1 repositories, 1 tags, 1 manifests/)
    },
    slow,
  )

  test.each<[string, (scratch: string) => Promise<string>, RegExp]>([
    [
      'is cut',
      async (scratch) =>
        written(
          join(scratch, 'a.tar'),
          tarOf([...files, { name: 'index.json', bytes: index('team/app:1') }]).subarray(0, 20_000),
        ),
      /a\.tar: Unexpected end of data/,
    ],
    [
      'is of the old kind',
      async (scratch) =>
        written(join(scratch, 'a.tar'), tarOf([{ name: 'manifest.json', bytes: Buffer.from('[]') }])),
      /is in the format of docker save before 25\.0/,
    ],
    ['is none', async (scratch) => written(join(scratch, 'a.tar'), Buffer.from('hello')), /a\.tar/],
    ['is an empty folder', (scratch) => made(join(scratch, 'empty')), /empty is empty/],
    [
      'is another folder',
      async (scratch) => {
        await put(join(scratch, 'other/file'), 'x')
        return join(scratch, 'other')
      },
      /is neither the data of a registry, with docker\/registry\/v2\/repositories in it, nor an OCI image layout/,
    ],
    ['is not there', async (scratch) => join(scratch, 'nowhere'), /nowhere: is not there/],
  ])(
    'that %s is refused in one line',
    async (_, make, message) => {
      await using site = await hostedSite()
      const told = await site.run('import', await make(site.scratch), '--into', 'team')
      expect([told.code, linesOf(told.stderr)]).toEqual([1, [expect.stringMatching(message)]])
    },
    slow,
  )
})

test('a node that is killed in an import has no link without a blob, and nothing that belongs to nothing', async () => {
  await using site = await siteWith(async (data) => {
    for (let at = 0; at < 150; at++)
      await addToRegistryData(data, `many/${at}`, buildImage({ layers: [50_000], seed: `${at}` }), '1')
  })
  const edge = await site.start()
  const importing = site.run('import', site.registry, '--into', 'team')
  await expect
    .poll(() => fetch(`${edge.url}/v2/team/many/0/manifests/1`).then(({ status }) => status), {
      interval: 5,
      timeout: 30_000,
    })
    .toBe(200)
  await edge.kill()
  expect((await importing).code).toBe(1)
  expect((await site.run('fsck')).stdout).toMatch(/: 0 rotten, 0 absent, 0 unknown/)
  expect(await site.run('import', site.registry, '--into', 'team')).toMatchObject({ code: 0, stderr: '' })
  expect((await site.run('fsck')).code).toBe(0)
}, 120_000)

async function replaceByLink(file: string, to: string): Promise<void> {
  await rm(file)
  await symlink(to, file)
}

async function written(file: string, bytes: Buffer): Promise<string> {
  await writeFile(file, bytes)
  return file
}

async function made(folder: string): Promise<string> {
  await mkdir(folder)
  return folder
}

test('bytes that lay here and that nothing knew of are known afterwards, and stay', {
  timeout: slow,
}, async () => {
  const { digest, bytes } = layerOf(good)
  await using site = await siteWith(async () => {})
  const [algorithm = '', hex = ''] = digest.split(':')
  await put(join(site.data, 'blobs', algorithm, hex.slice(0, 2), hex), bytes)
  await site.start()

  expect(await site.run('import', site.registry, '--into', 'team')).toMatchObject({ code: 0 })
  const checked = { code: 0, stdout: expect.stringContaining('checked 3 (') }
  expect(await site.run('fsck', '--repair')).toMatchObject(checked)
  expect(await site.run('fsck')).toMatchObject(checked)
})
