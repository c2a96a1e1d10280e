import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type FaultSite, startSite } from '../faults/support/site.ts'
import { storedDigests } from '../faults/support/stored.ts'
import { buildImage } from '../support/images.ts'
import { mirrorPolicy } from '../support/mirror-policy.ts'
import { pull } from '../support/pull.ts'
import { digestsOf, jsonOf, run } from './support/commands.ts'

const MiB = 1024 * 1024
const images = Array.from({ length: 9 }, (_, at) =>
  buildImage({ layers: [MiB], seed: `pin ${at}`, compression: 'none' }),
)
const [first] = images
if (!first) throw new Error('no image')

const cache = { kind: 'cache', budget: '6MiB', pins: ['library/policy'] }
const project = { freshness: [{ tag: '**', for: '1d' }] }

const start = () => startSite({ policy: { project, more: [cache] } })

async function pullAll(site: FaultSite): Promise<void> {
  for (const [at, image] of images.entries()) {
    site.upstream.addImage(`library/app${at}`, '1', image)
    await pull(site.edge.url, `library/app${at}`, '1')
  }
}

const isFirstHere = async ({ edge }: FaultSite) => {
  const stored = await storedDigests(edge.data)
  return digestsOf(first).every((digest) => stored.includes(digest))
}

describe.each(['while a node runs', 'while none does'])('pins %s', { timeout: 120_000 }, (when) => {
  test('are listed with where they come from, and survive a restart', async () => {
    await using site = await start()
    if (when === 'while none does') await site.edge.stop()
    expect(await run(site, ['pin', 'app0'])).toEqual({
      code: 0,
      stdout: 'docker.io/library/app0 is pinned\n',
      stderr: '',
    })
    expect((await run(site, ['pin', 'docker.io/library/app0'])).stdout).toContain('is pinned already')
    expect(jsonOf(await run(site, ['pin', 'team/**', '--json']))).toEqual([
      { pattern: 'team/**', isNew: true },
    ])
    if (when === 'while a node runs') await site.edge.restart()

    const at = expect.stringMatching(/mirror\.yaml:\d+:\d+$/)
    const since = expect.stringMatching(/^\d{4}-.*Z$/)
    expect(jsonOf(await run(site, ['pin', '--json']))).toEqual([
      { pattern: 'library/policy', from: 'policies', at },
      { pattern: 'docker.io/library/app0', from: 'command', since },
      { pattern: 'team/**', from: 'command', since },
    ])
    expect(await run(site, ['unpin', 'team/**'])).toMatchObject({
      code: 0,
      stdout: 'team/** is pinned no more\n',
    })
    expect((await run(site, ['pin'])).stdout).toMatch(
      /^library\/policy {2}\(the policies, .*mirror\.yaml:\d+:\d+\)\ndocker\.io\/library\/app0 {2}\(a command, \S+\)\n$/,
    )
  })

  test.each([
    [
      'unpin',
      'library/policy',
      /library\/policy is pinned by the policies \(.*mirror\.yaml:\d+:\d+\): it is unpinned there/,
    ],
    ['unpin', 'app0', /docker\.io\/library\/app0 is not pinned: pin lists what is/],
    ['pin', 'app0:1', /expected a repository without tag or digest, as docker\.io\/library\/app0/],
    ['pin', 'nowhere.example/app', /no project mirrors nowhere\.example/],
    ['pin', 'a/{b', /"\{" without "\}"/],
    ['pin', 'Nginx', /expected an image such as .*, found "Nginx"/],
  ])('%s %s is one clear line', async (command, pattern, message) => {
    await using site = await start()
    if (when === 'while none does') await site.edge.stop()
    const told = await run(site, [command, pattern])
    expect([told.code, told.stdout]).toEqual([1, ''])
    expect(told.stderr).toMatch(new RegExp(`^outport: ${message.source}\n$`))
    expect((await run(site, ['pin'])).stdout).not.toContain('command')
  })
})

test('what is pinned stays when room is needed, and goes when it no longer is', {
  timeout: 120_000,
}, async () => {
  await using site = await start()
  await run(site, ['pin', 'app0'])
  await pullAll(site)
  await expect.poll(() => site.edge.metrics('outport_evicted_total')).toBeGreaterThan(0)
  expect(await isFirstHere(site)).toBe(true)
  await run(site, ['unpin', 'app0'])
  await pullAll(site)
  for (const at of [1, 2, 3, 4, 5, 6, 7, 8]) await pull(site.edge.url, `library/app${at}`, '1')
  await expect.poll(() => isFirstHere(site)).toBe(false)
})

test('policies that are read again leave what commands have pinned', { timeout: 120_000 }, async () => {
  await using site = await start()
  await run(site, ['pin', 'app0'])
  const text = mirrorPolicy(site.upstream, { project, more: [{ ...cache, pins: ['library/next'] }] })
  await writeFile(join(site.edge.policies, 'mirror.yaml'), text)
  await site.edge.logged(({ msg }) => msg === 'policies loaded')
  const patterns = jsonOf(await run(site, ['pin', '--json'])).map(({ pattern }) => pattern)
  expect(patterns).toEqual(['library/next', 'docker.io/library/app0'])
})
