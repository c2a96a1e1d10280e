import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { pathOf, storedDigests } from '../faults/support/stored.ts'
import { outport } from '../support/command.ts'
import type { Edge } from '../support/edge.ts'
import { createPusher, startHosted } from '../support/hosted.ts'
import { blobsOf, buildImage, type Content } from '../support/images.ts'
import { digestsOf, jsonOf, linesOf } from './support/commands.ts'

const KiB = 1024
const [app, gone, loose] = ['app', 'gone', 'loose'].map((seed) =>
  buildImage({ layers: [100 * KiB], seed, compression: 'none' }),
) as [ReturnType<typeof buildImage>, ReturnType<typeof buildImage>, ReturnType<typeof buildImage>]
const sizeOf = (...contents: Content[]) => contents.reduce((sum, { bytes }) => sum + bytes.length, 0)
const rules = (more: object) => ({ kind: 'gc', every: false, grace: '0s', ...more })

const run = (edge: Edge, ...args: string[]) =>
  outport(args, {
    ...{ OUTPORT_DATA: edge.data, OUTPORT_POLICIES: edge.policies, OUTPORT_MIRROR_LISTEN: 'off' },
  })

/** `team/app` has an image, `team/gone` had one, and to `open/loose` layers were pushed and no manifest. */
async function start(gc: object): Promise<Edge> {
  const edge = await startHosted({ more: [rules(gc)] })
  const client = createPusher(edge)
  await client.pushImage('team/app', app, 'latest')
  await client.pushImage('team/gone', gone, 'latest')
  await client.send('DELETE', `/v2/team/gone/manifests/${gone.manifest.digest}`)
  for (const blob of [...blobsOf(loose), ...blobsOf(app)]) await client.pushBlob('open/loose', blob)
  return edge
}

const unneeded = [
  ...[
    {
      kind: 'repository',
      repository: 'open/loose',
      manifests: 0,
      blobs: 4,
      bytes: sizeOf(...blobsOf(loose)),
    },
  ],
  ...[
    { kind: 'repository', repository: 'team/gone', manifests: 0, blobs: 2, bytes: sizeOf(...blobsOf(gone)) },
  ],
  ...[{ kind: 'unlinked', parts: 1, bytes: sizeOf(gone.manifest) }],
  {
    ...{ kind: 'end', manifests: 0, blobs: 6, parts: 1 },
    bytes: sizeOf(...blobsOf(loose), ...blobsOf(gone), gone.manifest),
  },
]

describe.each(['while a node runs', 'while none does'])('gc %s', { timeout: 120_000 }, (when) => {
  test('removes what nothing needs, and says before what would go', async () => {
    await using edge = await start({})
    if (when === 'while none does') await edge.stop()
    const before = await storedDigests(edge.data)
    const dry = await run(edge, 'gc', '--dry-run', '--json')
    expect([dry.code, dry.stderr]).toEqual([0, ''])
    expect(jsonOf(dry)).toEqual(unneeded)
    expect((await storedDigests(edge.data)).sort()).toEqual(before.sort())
    expect((await readdir(join(edge.data, 'uploads'))).filter((name) => name.includes('.db'))).toEqual([])

    expect(jsonOf(await run(edge, 'gc', '--json'))).toEqual(unneeded)
    expect((await storedDigests(edge.data)).sort()).toEqual(digestsOf(app))
    expect(linesOf((await run(edge, 'gc')).stdout)).toEqual([
      'collected 0 manifests and 0 blobs of repositories, 0 parts of none: 0 B',
    ])
    if (when === 'while none does') await edge.restart()
    const client = createPusher(edge)
    expect((await client.send('GET', '/v2/team/app/manifests/latest')).body).toEqual(app.manifest.bytes)
    for (const blob of blobsOf(app))
      expect((await client.send('GET', `/v2/team/app/blobs/${blob.digest}`)).body).toEqual(blob.bytes)
  })

  test('takes manifests without a tag where it is told to', async () => {
    await using edge = await start({})
    await createPusher(edge).pushImage('team/app', gone, 'latest')
    if (when === 'while none does') await edge.stop()
    const told = await run(edge, 'gc', '--dry-run', '--untagged', '7d', '--json')
    expect(jsonOf(told).at(-1)).toMatchObject({ manifests: 0, blobs: 6, parts: 0 })
    const untagged = await run(edge, 'gc', '--untagged', '0s')
    expect(linesOf(untagged.stdout)).toEqual([
      'open/loose  0 manifests and 4 blobs, 101.8 KiB',
      'team/app  1 manifest and 2 blobs, 102.2 KiB',
      'team/gone  0 manifests and 2 blobs, 0 B',
      'collected 1 manifest and 8 blobs of repositories, 0 parts of none: 204.0 KiB',
    ])
    expect((await storedDigests(edge.data)).sort()).toEqual(digestsOf(gone))
  })
})

test('an age that is none is told in one line', async () => {
  const told = await outport(['gc', '--untagged', 'old'], {})
  expect([told.code, told.stderr]).toEqual([
    1,
    expect.stringContaining(
      "option '--untagged <age>' argument 'old' is invalid. Expected a duration such as 5m.",
    ),
  ])
})

test('garbage goes by itself as the policies say, from when they do', { timeout: 60_000 }, async () => {
  await using edge = await start({ grace: '1h' })
  expect(await edge.metrics('outport_gc_runs_total')).toBe(0)
  const file = join(edge.policies, 'site.yaml')
  const text = await readFile(file, 'utf8')
  await writeFile(`${file}.new`, text.replace('every: false', 'every: 1s').replace('grace: 1h', 'grace: 0s'))
  await rename(`${file}.new`, file)

  await expect
    .poll(async () => (await storedDigests(edge.data)).sort(), { timeout: 30_000, interval: 500 })
    .toEqual(digestsOf(app))
  await expect.poll(() => edge.metrics('outport_cache_bytes')).toBe(sizeOf(app.manifest, ...blobsOf(app)))
  expect(await edge.metrics('outport_gc_unlinked_total', { kind: 'blob' })).toBe(6)
  expect(await edge.metrics('outport_gc_bytes_total')).toBe(unneeded.at(-1)?.bytes)
  expect(await edge.metrics('outport_gc_last_timestamp_seconds')).toBeGreaterThan(0)
  const line = await edge.logged(({ msg, blobs }) => msg === 'garbage collected' && blobs !== 0)
  expect(line).toMatchObject({ manifests: 0, blobs: 6, parts: 1, bytes: unneeded.at(-1)?.bytes })
})

test('what cannot be removed is a trouble until it can', { timeout: 60_000 }, async () => {
  await using edge = await start({})
  const [layer] = loose.layers
  if (!layer) throw new Error('no layer')
  const path = pathOf(edge.data, layer.digest)
  await rm(path)
  await mkdir(path)
  const told = await run(edge, 'gc', '--json')
  expect(told.code).toBe(1)
  expect(told.stderr).toMatch(/^outport: [^\n]*\n$/)
  expect(jsonOf(told).at(-1)).toMatchObject({ kind: 'end', blobs: 6, parts: 1 })
  const status = async () => JSON.parse((await run(edge, 'status', '--json')).stdout).degraded
  expect(await status()).toMatchObject([{ code: 'gc-failed' }])
  expect(JSON.stringify(await status())).not.toContain(edge.data)
  expect(await edge.metrics('outport_gc_runs_total', { outcome: 'failed' })).toBe(1)

  await rm(path, { recursive: true })
  expect(jsonOf(await run(edge, 'gc', '--json'))[0]).toMatchObject({ kind: 'unlinked', parts: 1 })
  expect(await status()).toEqual([])
})
