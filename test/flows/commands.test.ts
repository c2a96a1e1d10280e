import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { getuid } from 'node:process'
import { describe, expect, test } from 'vitest'
import { extentBytes } from '../../src/blobs/extents.ts'
import { type FaultSite, layerOf, startSite } from '../faults/support/site.ts'
import { flip, pathOf, storedDigests } from '../faults/support/stored.ts'
import { outport, type Said } from '../support/command.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const image = buildImage({ layers: [14_000_000], seed: 'commands', compression: 'none' })
const layer = layerOf(image)
const allDigests = [image.manifest, image.config, ...image.layers].map(({ digest }) => digest).sort()

async function siteWithImage(): Promise<FaultSite> {
  const site = await startSite({ policy: { project: { freshness: [{ tag: '**', for: '1d' }] } } })
  site.upstream.addImage('library/app', '1.2', image)
  await pull(site.edge.url, 'library/app', '1.2')
  site.upstream.clear()
  return site
}

function run({ edge }: FaultSite, args: string[], through?: string[]): Promise<Said> {
  return outport(args, { OUTPORT_DATA: edge.data, OUTPORT_POLICIES: edge.policies }, through)
}
const linesOf = (text: string) => text.trimEnd().split('\n')
const jsonOf = ({ stdout }: Said) => linesOf(stdout).map((line) => JSON.parse(line))

test('status tells how the node is, for people and for scripts', async () => {
  await using site = await siteWithImage()
  const told = await run(site, ['status'])
  expect(told).toMatchObject({ code: 0, stderr: '' })
  expect(told.stdout).toMatch(
    /^outport \d.*process \d+.*\ndoors: http:.*\nstored: 13\.4 MiB.*\nall is well\n$/,
  )
  expect(jsonOf(await run(site, ['status', '--json']))).toEqual([
    expect.objectContaining({ pid: site.edge.pid, degraded: [] }),
  ])

  await site.upstream.stop()
  const askedInVain = async () => {
    await site.askTag('other')
    return (await run(site, ['status'])).stdout
  }
  await expect
    .poll(askedInVain, { timeout: 20_000 })
    .toMatch(/\ndegraded: registry \S+ does not answer \(since \S+Z\)\n$/)
})

describe.each(['while a node runs', 'while none does'])('%s', (when) => {
  async function start(): Promise<FaultSite> {
    const site = await siteWithImage()
    if (when === 'while none does') await site.edge.stop()
    return site
  }

  test('ls shows the images and what of them is here', async () => {
    await using site = await start()
    const all = await run(site, ['ls'])
    expect(all).toMatchObject({ code: 0, stderr: '' })
    expect(linesOf(all.stdout)).toEqual([
      expect.stringContaining('IMAGE'),
      expect.stringMatching(/^ +13\.4 MiB {2}0 min {5}sha256:[0-9a-f]{12} {2}docker\.io\/library\/app:1\.2$/),
    ])
    expect(linesOf((await run(site, ['ls', 'docker.io/other/*'])).stdout)).toHaveLength(1)
    expect(jsonOf(await run(site, ['ls', '--json', 'docker.io/**']))).toEqual([
      expect.objectContaining({
        repository: 'docker.io/library/app',
        tag: '1.2',
        digest: image.manifest.digest,
        missing: 0,
      }),
    ])
  })

  test('fsck finds nothing where all is well', async () => {
    await using site = await start()
    const told = await run(site, ['fsck'])
    expect(told).toMatchObject({ code: 0, stderr: '' })
    expect(told.stdout).toBe('checked 3 (13.4 MiB): 0 rotten, 0 absent, 0 unknown, 0 mended\n')
  })

  test('fsck tells what is wrong, and mends it when it is asked to', async () => {
    await using site = await start()
    await flip(pathOf(site.edge.data, layer.digest), 6_000_000)
    await rm(pathOf(site.edge.data, image.config.digest))
    const stray = pathOf(site.edge.data, `sha256:${'ab'.repeat(32)}`)
    await mkdir(dirname(stray), { recursive: true })
    await writeFile(stray, 'nobody knows me')

    const told = await run(site, ['fsck', '--json'])
    expect(told.code).toBe(1)
    const end = { kind: 'end', checked: 3, rotten: 1, absent: 1, unknown: 1 }
    expect(jsonOf(told).at(-1)).toMatchObject({ ...end, mended: 0 })
    expect(jsonOf(told)).toEqual(
      expect.arrayContaining([
        { kind: 'found', digest: layer.digest, what: 'rotten', mended: false },
        { kind: 'found', digest: image.config.digest, what: 'absent', mended: false },
        { kind: 'found', digest: `sha256:${'ab'.repeat(32)}`, what: 'unknown', mended: false },
      ]),
    )

    const mended = await run(site, ['fsck', '--repair'])
    expect(mended).toMatchObject({ code: 0, stderr: '' })
    expect(linesOf(mended.stdout)).toEqual(
      expect.arrayContaining([
        `${layer.digest} is not there, fetched again`,
        `sha256:${'ab'.repeat(32)} belongs to nothing, removed`,
        expect.stringContaining('3 mended'),
      ]),
    )
    expect((await storedDigests(site.edge.data)).sort()).toEqual(allDigests)
    expect(site.upstream.blobBytes(layer.digest)).toBeLessThanOrEqual(2 * extentBytes)
    expect((await run(site, ['fsck'])).code).toBe(0)
  })

  test('fsck says why it could not mend', async () => {
    await using site = await start()
    await flip(pathOf(site.edge.data, layer.digest), 6_000_000)
    await site.upstream.stop()
    const told = await run(site, ['fsck', '--repair'])
    expect(told.code).toBe(1)
    expect(linesOf(told.stdout)[0]).toMatch(`${layer.digest} has other bytes, not mended: `)
  })
})

describe('one clear line and an exit code', () => {
  test('where no node runs', async () => {
    await using folder = await temporaryDirectory()
    const told = await outport(['status'], { OUTPORT_DATA: folder.path })
    expect(told).toEqual({
      code: 1,
      stdout: '',
      stderr: `outport: no node runs on this data: nobody listens at ${join(folder.path, 'admin.sock')}\n`,
    })
  })

  test.each([
    'ls',
    'fsck',
    'pull nginx',
    'evict nginx',
    'pin nginx',
    'pin',
    'unpin nginx',
    'explain nginx',
  ])('where there is no data, which %s does not make', async (command) => {
    await using folder = await temporaryDirectory()
    const data = join(folder.path, 'data')
    const told = await outport(command.split(' '), { OUTPORT_DATA: data })
    expect(told).toEqual({ code: 1, stdout: '', stderr: `outport: there is no data: no folder ${data}\n` })
    await expect(stat(data)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('where a node was killed', async () => {
    await using site = await siteWithImage()
    await site.edge.kill()
    const told = await run(site, ['status'])
    expect([told.code, told.stderr]).toEqual([1, expect.stringMatching(/^outport: no node runs .*\n$/)])
    expect((await run(site, ['ls'])).code).toBe(0)
  })

  test('for a node that hangs', { timeout: 120_000 }, async () => {
    await using site = await siteWithImage()
    process.kill(site.edge.pid, 'SIGSTOP')
    try {
      const commands = ['status', 'pull app', 'evict app', 'pin app', 'unpin app', 'explain app']
      for (const told of await Promise.all(commands.map((command) => run(site, command.split(' ')))))
        expect(told).toEqual({ code: 1, stdout: '', stderr: 'outport: the node says nothing for 15 s\n' })
    } finally {
      process.kill(site.edge.pid, 'SIGCONT')
    }
  })

  test.skipIf(getuid?.() !== 0)('for another user', { timeout: 120_000 }, async () => {
    await using site = await siteWithImage()
    const socket = join(site.edge.data, 'admin.sock')
    expect((await stat(socket)).mode & 0o777).toBe(0o600)
    for (const command of ['status', 'pull app', 'evict app', 'pin app', 'explain app']) {
      const told = await run(site, command.split(' '), ['setpriv', '--reuid=65534', '--clear-groups'])
      expect([told.code, told.stdout]).toEqual([1, ''])
      expect(told.stderr).toMatch(/^outport: .*admin\.sock is for the user that the node runs as.*\n$/)
    }
  })

  test.each([
    ['an unknown command', ['frobnicate'], /unknown command 'frobnicate'/],
    ['an unknown option', ['fsck', '--fix'], /unknown option '--fix'/],
    ['too many arguments', ['ls', 'a', 'b'], /too many arguments/],
    ['a pattern that is none', ['ls', 'a/{b'], /^outport: "{" without "}"\n$/],
  ])('for %s', async (_, args, message) => {
    await using folder = await temporaryDirectory()
    const told = await outport(args, { OUTPORT_DATA: folder.path })
    expect([told.code, told.stdout]).toEqual([1, ''])
    expect(told.stderr).toMatch(message)
  })
})

test.each([
  ['an image that is none', ['pull', 'Nginx'], 'expected an image such as nginx, .*, found "Nginx"'],
  ['a registry that is not mirrored', ['pull', 'app:1.2', 'quay.io/a/b'], 'no project mirrors quay.io'],
  [
    'a platform that is none',
    ['pull', '--platform', 'amd64', 'app'],
    'expected a platform such as .*, found "amd64"',
  ],
  [
    'a time too far away',
    ['pull', '--until', '2999-01-01T00:00', 'app'],
    'expected a time within 24 days, found .*',
  ],
  ['an image that is none', ['evict', 'a:b:c'], 'expected an image such as nginx, .*, found "a:b:c"'],
  ['a pattern that is none', ['evict', 'a/{b'], '"{" without "}"'],
  ['a pattern of tags that is none', ['evict', 'a/*:{b'], '"{" without "}"'],
])('a running node says in one line what is wrong: %s', async (_, args, message) => {
  await using site = await siteWithImage()
  const told = await run(site, args)
  expect([told.code, told.stdout]).toEqual([1, ''])
  expect(told.stderr).toMatch(new RegExp(`^outport: ${message.replaceAll('{', '\\{')}\n$`))
  expect(site.upstream.requests).toEqual([])
})

test('a folder whose name is too long for a socket serves all the same', async () => {
  await using folder = await temporaryDirectory()
  const data = join(folder.path, 'x'.repeat(100))
  await using site = await startSite({ data })
  await site.edge.logged(({ msg }) => msg === 'commands cannot reach this node')
  site.upstream.addImage('library/app', '1.2', image)
  await pull(site.edge.url, 'library/app', '1.2')
})
