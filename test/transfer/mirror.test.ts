import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startSite } from '../faults/support/site.ts'
import { flip, pathOf } from '../faults/support/stored.ts'
import { outport } from '../support/command.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { addToRegistryData, blobFile } from './support/registry-data.ts'

const image = buildImage({ layers: [60_000, 3_000], seed: 'mirror' })
const other = buildImage({ layers: [60_000], seed: 'mirror', platform: 'linux/arm64' })
const index = buildIndex([{ image }, { image: other }])
const [layer] = image.layers
const slow = 120_000

async function mirror() {
  const site = await startSite()
  const { data, policies } = site.edge
  return {
    ...site,
    run: (...args: string[]) => outport(args, { OUTPORT_DATA: data, OUTPORT_POLICIES: policies }),
    [Symbol.asyncDispose]: () => site[Symbol.asyncDispose](),
  }
}

test(
  'what a pull-through cache held is a warm cache: upstream is asked for the tag alone, and may be gone',
  async () => {
    await using site = await mirror()
    await using folder = await temporaryDirectory()
    await addToRegistryData(folder.path, 'library/app', image, '1')
    expect(await site.run('import', folder.path, '--into', 'docker.io')).toMatchObject({
      code: 0,
      stderr: '',
    })
    const { stdout } = await site.run('explain', '--json', 'docker.io/library/app:1')
    expect(JSON.parse(stdout)).toMatchObject({ cache: { isWhole: true } })
    expect(JSON.parse(stdout).eviction.kind).not.toBe('kept')

    site.upstream.addImage('library/app', '1', image)
    await pull(site.edge.url, 'library/app', '1')
    expect(site.upstream.blobBytes(layer?.digest ?? '')).toBe(0)
    expect(await site.edge.metrics('outport_upstream_requests_total')).toBeGreaterThan(0)
  },
  slow,
)

test(
  'what a pull-through cache had not fetched yet is no fault, and comes from upstream',
  async () => {
    await using site = await mirror()
    await using folder = await temporaryDirectory()
    await addToRegistryData(folder.path, 'library/app', image, '1')
    await rm(blobFile(folder.path, layer?.digest ?? ''))
    expect(await site.run('import', folder.path, '--into', 'docker.io')).toMatchObject({
      code: 0,
      stderr: '',
    })
    site.upstream.addImage('library/app', '1', image)
    await pull(site.edge.url, 'library/app', '1')
    expect(site.upstream.blobBytes()).toBe(layer?.bytes.length)
  },
  slow,
)

test(
  'with upstream gone, what was imported is served',
  async () => {
    await using site = await mirror()
    await using folder = await temporaryDirectory()
    await addToRegistryData(folder.path, 'library/app', image, '1')
    await site.upstream.stop()
    expect(await site.run('import', folder.path, '--into', 'docker.io')).toMatchObject({
      code: 0,
      stderr: '',
    })
    await pull(site.edge.url, 'library/app', '1')
  },
  slow,
)

test(
  'export fetches what is not here, unless it may not',
  async () => {
    await using site = await mirror()
    await using folder = await temporaryDirectory()
    const to = join(folder.path, 'layout')
    site.upstream.addImage('library/app', '1', index)
    const refused = await site.run('export', 'app:1', '--offline', '--to', to)
    expect(refused).toEqual({ code: 1, stdout: '', stderr: 'outport: docker.io/library/app:1 is not here\n' })
    const told = await site.run('export', 'app:1', '--platform', 'linux/amd64', '--to', to)
    expect(told).toMatchObject({ code: 0, stderr: '' })
    expect(told.stdout).toContain(`docker.io/library/app:1  ${index.manifest.digest}\n`)
    const blobs = await readdir(join(to, 'blobs/sha256'))
    expect(blobs.sort()).toEqual(
      [index.manifest, image.manifest, image.config, ...image.layers]
        .map(({ digest }) => digest.slice(7))
        .sort(),
    )
    const lacking = await site.run('export', 'app:1', '--offline', '--to', to)
    expect(lacking.stderr).toMatch(
      /^outport: docker\.io\/library\/app:1 is not all here: 1 of its parts are missing/,
    )
  },
  slow,
)

test(
  'an export that was stopped goes on, mends what is wrong in the folder, and tells what has rotten here',
  async () => {
    await using site = await mirror()
    await using folder = await temporaryDirectory()
    const to = join(folder.path, 'layout')
    site.upstream.addImage('library/app', '1', image)
    await site.run('export', 'app:1', '--to', to)
    const there = join(to, 'blobs/sha256', layer?.digest.slice(7) ?? '')
    await flip(there, 7)
    await rm(join(to, 'index.json'))
    await writeFile(`${there}.x.outport-part`, 'half')
    const again = await site.run('export', 'app:1', '--to', to)
    expect(again.stdout).toMatch(/\n60\.5 KiB written, /)
    expect((await readdir(to)).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
    expect(await readdir(join(to, 'blobs/sha256'))).toHaveLength(4)

    await flip(pathOf(site.edge.data, layer?.digest ?? ''), 7)
    const tar = join(folder.path, 'a.tar')
    const rotten = await site.run('export', 'app:1', '--to', tar)
    expect(rotten).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${layer?.digest} has other bytes on this disk`),
    })
    expect(await readdir(folder.path)).toEqual(['layout'])
    await mkdir(join(folder.path, 'full'))
    await writeFile(join(folder.path, 'full/file'), '')
    const full = await site.run('export', 'app:1', '--to', join(folder.path, 'full'))
    expect(full.stderr).toMatch(/^outport: .*full is not empty, and no OCI image layout\n$/)
  },
  slow,
)
