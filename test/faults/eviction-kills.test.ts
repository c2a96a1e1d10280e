import { stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { outport } from '../support/command.ts'
import { startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { attempt, layerOf, repository, startSite } from './support/site.ts'
import { partsIn, pathOf, storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const images = Array.from({ length: 9 }, (_, at) =>
  buildImage({ layers: [MiB], seed: `kill ${at}`, compression: 'none' }),
)
const nameOf = (at: number) => `library/app${at}`
const policy = {
  project: { freshness: [{ tag: '**', for: '1d' }] },
  more: [{ kind: 'cache', budget: '6MiB', high: '90%', low: '60%', scrub: false }],
}

interface Told {
  kind: string
  rotten?: number
  absent?: number
  unknown?: number
}

async function fsck(data: string, policies: string, ...options: string[]): Promise<Told | undefined> {
  const settings = { OUTPORT_DATA: data, OUTPORT_POLICIES: policies }
  const { stdout } = await outport(['fsck', '--json', ...options], settings)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
}

// The files of a turn go first, and then its rows: a cut between the two leaves rows without a file.
describe.each([
  ['before the first file is gone', 'before-unlink', 0],
  ['between two files', 'amid-unlinks', 1],
  ['when the files are gone and the database does not know', 'after-unlinks', 2],
] as const)('killed within an eviction, %s', (_, failpoint, leastAbsent) => {
  test('nothing wrong is left, and the next node gives up what is too much', async () => {
    await using folder = await temporaryDirectory()
    await using site = await startSite({ data: folder.path, env: { OUTPORT_FAILPOINT: failpoint }, policy })
    for (const [at, image] of images.entries()) site.upstream.addImage(nameOf(at), '1', image)
    const struck = site.edge.logged(({ err }) => JSON.stringify(err ?? '').includes(failpoint))
    for (const at of [0, 1, 2, 3, 4, 5]) await pull(site.edge.url, nameOf(at), '1').catch(() => {})
    await struck
    await site.edge.kill()

    await using next = await startEdge({ policies: site.edge.policies, data: folder.path })
    const told = await fsck(folder.path, next.policies)
    expect(told).toMatchObject({ kind: 'end', rotten: 0, unknown: 0 })
    expect(told?.absent).toBeGreaterThanOrEqual(leastAbsent === 0 ? 0 : 1)
    for (const [at, image] of images.entries())
      expect((await pull(next.url, nameOf(at), '1')).digest).toBe(image.manifest.digest)
    await expect.poll(() => next.metrics('outport_evicted_total')).toBeGreaterThan(0)
    await fsck(folder.path, next.policies, '--repair')
    expect(await fsck(folder.path, next.policies)).toMatchObject({ rotten: 0, absent: 0, unknown: 0 })
    await storedDigests(folder.path)
  })
})

test('killed when a layer has its place and the database does not know: the next start removes it', async () => {
  const [image] = images
  if (!image) throw new Error('no image')
  const layer = layerOf(image)
  await using folder = await temporaryDirectory()
  await using site = await startSite({
    image,
    data: folder.path,
    env: { OUTPORT_FAILPOINT: 'after-adoption' },
  })
  await attempt(site.askBlob(layer))
  await site.edge.logged(({ err }) => JSON.stringify(err ?? '').includes('after-adoption'))
  await site.edge.kill()
  expect((await stat(pathOf(folder.path, layer.digest))).size).toBe(layer.bytes.length)

  await using next = await startEdge({ policies: site.edge.policies, data: folder.path })

  await expect(stat(pathOf(folder.path, layer.digest))).rejects.toMatchObject({ code: 'ENOENT' })
  expect(await partsIn(folder.path)).toEqual([])
  expect((await pull(next.url, repository, '1')).digest).toBe(image.manifest.digest)
  expect(await fsck(folder.path, next.policies)).toMatchObject({ rotten: 0, absent: 0, unknown: 0 })
})

test('what a kill leaves is not mistaken: a layer that the database knows stays', async () => {
  const [image] = images
  if (!image) throw new Error('no image')
  await using site = await startSite({ image })
  await pull(site.edge.url, repository, '1')
  const marks = `${site.edge.data}/fills/${layerOf(image).digest.replace(':', '-')}.marks`
  await site.edge.stop()
  await writeFile(marks, 'left')
  await site.edge.restart()
  expect(await storedDigests(site.edge.data)).toContain(layerOf(image).digest)
})
