import { globSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fetchBlob } from '../support/fetch-blob.ts'
import { buildImage, type Image } from '../support/images.ts'
import { mirrorPolicy } from '../support/mirror-policy.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith } from '../support/tools.ts'
import { startSite } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const images = Array.from({ length: 8 }, (_, at) =>
  buildImage({ layers: [MiB], seed: `clock ${at}`, compression: 'none' }),
)
const nameOf = (at: number) => `library/app${at}`
const cache = (maxAge: string) => ({ kind: 'cache', budget: '5MiB', high: '90%', low: '60%', maxAge })

/** A node whose clock on the wall can be set while it runs. */
async function startWithClock() {
  await using owned = new AsyncDisposableStack()
  const { path } = owned.use(await temporaryDirectory())
  const clock = join(path, 'clock')
  const [library = ''] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')
  const set = (offset: string) => writeFile(clock, offset)
  await set('+0')
  const site = owned.use(
    await startSite({
      env: {
        OUTPORT_SITE: 'edge',
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        NO_FAKE_STAT: '1',
      },
      policy: { project: { freshness: [{ tag: '**', for: '10m' }] }, more: [cache('2h')] },
    }),
  )
  for (const [at, image] of images.entries()) site.upstream.addImage(nameOf(at), '1', image)
  const held = owned.move()
  return { ...site, set, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

async function wholeIn(data: string, all: readonly Image[]): Promise<number[]> {
  const stored = new Set(await storedDigests(data))
  return all.flatMap(({ manifest, layers: [layer] }, at) =>
    stored.has(manifest.digest) && layer && stored.has(layer.digest) ? [at] : [],
  )
}

/** By the clock that the node sees. */
async function tokenIssuedAt(url: string): Promise<number> {
  const { body } = await fetchBlob(`${url}/service/token?service=edge&scope=repository:library/app0:pull`, {
    keep: true,
  })
  return Date.parse(JSON.parse(body.toString()).issued_at)
}

describeWith(['faketime'], 'while a node runs', () => {
  test('its clock is set a day forward: nothing that is young goes, and tags are asked for again', async () => {
    await using site = await startWithClock()
    for (const at of [0, 1, 2]) await pull(site.edge.url, nameOf(at), '1')

    await site.set('+1d')
    expect(await tokenIssuedAt(site.edge.url)).toBeGreaterThan(Date.now() + 20 * 3_600_000)
    // Has it look for what is too old.
    const policy = join(site.edge.policies, 'mirror.yaml')
    await writeFile(policy, mirrorPolicy(site.upstream, { more: [cache('3h')] }))
    await site.edge.logged(({ msg }) => msg === 'policies loaded')
    site.upstream.clear()

    for (const at of [0, 1, 2]) await pull(site.edge.url, nameOf(at), '1')
    expect(site.upstream.count({ kind: 'manifest', method: 'HEAD' })).toBe(3)
    expect(site.upstream.blobBytes()).toBe(0)
    expect(await site.edge.metrics('outport_evicted_total')).toBe(0)
  })

  test('its clock is set an hour back: what came before goes before what comes then', async () => {
    await using site = await startWithClock()
    for (const at of [0, 1, 2]) await pull(site.edge.url, nameOf(at), '1')

    await site.set('-1h')
    expect(await tokenIssuedAt(site.edge.url)).toBeLessThan(Date.now() - 50 * 60_000)
    for (const at of [3, 4, 5]) await pull(site.edge.url, nameOf(at), '1')

    await expect.poll(() => site.edge.metrics('outport_evicted_total')).toBeGreaterThan(0)
    await expect.poll(() => wholeIn(site.edge.data, images)).not.toContain(0)
    expect(await wholeIn(site.edge.data, images)).toEqual(expect.arrayContaining([4, 5]))
    await site.edge.restart()
    for (const at of [6, 7]) await pull(site.edge.url, nameOf(at), '1')
    await expect.poll(() => wholeIn(site.edge.data, images)).toEqual(expect.arrayContaining([6, 7]))
  })
})
