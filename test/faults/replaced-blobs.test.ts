import { lstat, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { type FaultSite, layerOf, repository, startSite } from './support/site.ts'
import { pathOf, storedDigests } from './support/stored.ts'

const image = buildImage({ layers: [1_200_000], seed: 'replaced', compression: 'none' })
const layer = layerOf(image)

const replacements: Readonly<Record<string, (file: string) => Promise<unknown>>> = {
  'nothing in it': (file) => truncate(file, 0),
  'half of its bytes': (file) => truncate(file, 600_000),
  'a folder in its place': async (file) => {
    await rm(file)
    await mkdir(file)
    await writeFile(join(file, 'inside'), 'somebody else')
  },
  'a link to another file in its place': async (file) => {
    await writeFile(`${file}.other`, Buffer.alloc(layer.bytes.length, 'x'))
    await rm(file)
    await symlink(`${file}.other`, file)
  },
  'a link to its own bytes in its place': async (file) => {
    await rename(file, `${file}.other`)
    await symlink(`${file}.other`, file)
  },
  'a link to nothing in its place': async (file) => {
    await rm(file)
    await symlink('/nowhere/at/all', file)
  },
}

async function siteWith(scrub: object | false): Promise<FaultSite> {
  const site = await startSite({
    image,
    policy: {
      project: { freshness: [{ tag: '**', for: '1d' }] },
      more: [{ kind: 'cache', scrub }],
    },
  })
  await pull(site.edge.url, repository, '1')
  site.upstream.clear()
  return site
}

async function expectMended({ edge }: FaultSite): Promise<void> {
  const stats = await lstat(pathOf(edge.data, layer.digest))
  expect([stats.isFile(), stats.size]).toEqual([true, layer.bytes.length])
}

describe.each(Object.entries(replacements))('a stored layer with %s', (_, replace) => {
  test('is never given away as it is: who asks has the right bytes', async () => {
    await using site = await siteWith(false)
    const file = pathOf(site.edge.data, layer.digest)
    await replace(file)

    await expect
      .poll(() => site.askBlob(layer))
      .toMatchObject({ status: 200, complete: true, sha256: layer.digest })

    await expectMended(site)
  })

  test('is found and mended before anybody asks', async () => {
    await using site = await siteWith({ every: '1s', rate: '200MiB/s' })
    await replace(pathOf(site.edge.data, layer.digest))

    await expect.poll(() => site.edge.metrics('outport_blobs_healed_total'), { timeout: 20_000 }).toBe(1)

    await expectMended(site)
    await rm(`${pathOf(site.edge.data, layer.digest)}.other`, { force: true })
    expect(await storedDigests(site.edge.data)).toContain(layer.digest)
  })
})
