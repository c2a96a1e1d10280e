import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { type FaultSite, layerOf, type SiteOptions, startSite } from '../faults/support/site.ts'
import { storedDigests } from '../faults/support/stored.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { blobBytesOf, buildImage, buildIndex, buildReferrer } from '../support/images.ts'
import { plainEnvironment } from '../support/node-process.ts'
import { pull } from '../support/pull.ts'
import { digestsOf, jsonOf, linesOf, run } from './support/commands.ts'

const MiB = 1024 * 1024
const app = buildImage({ seed: 'app', layers: [3 * MiB, 70_000] })
const arm = buildImage({ seed: 'arm', layers: [2 * MiB], platform: 'linux/arm64/v8' })
const proof = buildImage({ seed: 'proof', layers: [100] })
const index = buildIndex([{ image: app }, { image: arm }, { image: proof, platform: 'unknown/unknown' }])
const signature = buildReferrer({
  subject: index.manifest,
  artifactType: 'application/vnd.example.signature',
  bytes: Buffer.from('signed'),
})
const other = buildImage({ seed: 'other', layers: [MiB] })
const long = { project: { freshness: [{ tag: '**', for: '1d' }] } }

async function start(options: SiteOptions = {}): Promise<FaultSite> {
  const site = await startSite({ policy: long, ...options })
  site.upstream.addImage('library/many', '1', index)
  site.upstream.addImage('library/many', undefined, signature)
  site.upstream.addImage('library/other', 'latest', other)
  return site
}

describe.each(['while a node runs', 'while none does'])('pull %s', { timeout: 120_000 }, (when) => {
  async function startHere(): Promise<FaultSite> {
    const site = await start()
    if (when === 'while none does') await site.edge.stop()
    return site
  }

  test('fetches an index with all its images, and what refers to it, once', async () => {
    await using site = await startHere()
    const told = await run(site, ['pull', 'many:1'])
    expect(told).toMatchObject({ code: 0, stderr: '' })
    expect(linesOf(told.stdout)).toEqual([
      expect.stringMatching(/^docker\.io\/library\/many:1 {2}is here: 14 parts, 5\.\d MiB$/),
    ])
    const stored = await storedDigests(site.edge.data)
    expect(stored).toEqual(
      expect.arrayContaining([index.manifest.digest, ...digestsOf(app, arm, proof, signature)]),
    )
    const bytes = [app, arm, proof, signature].reduce((sum, image) => sum + blobBytesOf(image), 0)
    expect(site.upstream.blobBytes()).toBe(bytes)

    expect(linesOf((await run(site, ['ls'])).stdout)).toHaveLength(2)

    site.upstream.clear()
    expect((await run(site, ['pull', 'docker.io/library/many:1'])).code).toBe(0)
    expect(site.upstream.count({ kind: 'blob' }) + site.upstream.count({ kind: 'manifest' })).toBe(0)

    if (when === 'while none does') return
    await site.upstream.stop()
    for (const platform of ['linux/amd64', 'linux/arm64/v8'])
      await pull(site.edge.url, 'library/many', '1', { platform })
  })
})

test('warm is the same; of several images each is told, and only the platforms that are asked for come', async () => {
  await using site = await start()
  const list = join(site.edge.policies, 'list.txt')
  await writeFile(list, '# what the shop needs\n\nmany:1   # both\nlibrary/other\n')
  const told = await run(site, ['warm', '--platform', 'linux/arm64', '--json', '--from', list, 'other'])
  expect(told).toMatchObject({ code: 0, stderr: '' })
  expect(jsonOf(told)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        image: 'docker.io/library/many:1',
        digest: index.manifest.digest,
        missing: [],
      }),
      expect.objectContaining({ image: 'docker.io/library/other:latest', parts: 3, ofParts: 3, missing: [] }),
      expect.objectContaining({ kind: 'end', images: 2, whole: 2 }),
    ]),
  )
  const stored = await storedDigests(site.edge.data)
  expect(stored).toEqual(expect.arrayContaining(digestsOf(arm, other)))
  expect(stored).not.toContain(layerOf(app).digest)
})

test('what is asked for by digest comes by digest', async () => {
  await using site = await start()
  const told = await run(site, ['pull', `docker.io/library/many@${arm.manifest.digest}`])
  expect([told.code, told.stdout]).toEqual([
    0,
    expect.stringContaining(`@${arm.manifest.digest}  is here: 3 parts`),
  ])
})

test('a tag that has moved is followed, however slow upstream is with it', async () => {
  await using site = await start({ policy: { project: { freshness: [{ tag: '**', for: '0s' }] } } })
  site.upstream.addImage('library/app', '1', other)
  expect((await run(site, ['pull', 'app:1'])).code).toBe(0)
  site.upstream.addImage('library/app', '1', app)
  using _ = site.upstream.fault({ on: { kind: 'manifest', method: 'HEAD' }, latencyMs: 700 })
  const told = await run(site, ['pull', '--json', 'app:1'])
  expect(jsonOf(told)[0]).toMatchObject({ digest: app.manifest.digest, missing: [] })
})

test('clients that ask meanwhile share what comes, and go before it', async () => {
  await using site = await start()
  const layer = layerOf(app)
  using held = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, stallAt: MiB })
  const pulling = run(site, ['pull', '--platform', 'linux/amd64', 'many:1'])
  await held.struck()
  const asked = fetchBlob(`${site.edge.url}/v2/library/many/blobs/${layer.digest}`)
  held[Symbol.dispose]()
  expect(await asked).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
  expect((await pulling).code).toBe(0)
  expect(site.upstream.blobBytes(layer.digest)).toBeLessThan(1.1 * layer.bytes.length)
})

describe('what is not all here', { timeout: 60_000 }, () => {
  test('is told part by part, with the reason', async () => {
    await using site = await start()
    site.upstream.removeBlob(layerOf(arm).digest)
    const told = await run(site, ['pull', 'many:1', 'other'])
    expect([told.code, told.stderr]).toEqual([1, 'outport: 1 of 2 images are not all here\n'])
    expect(told.stdout).toContain('docker.io/library/other:latest  is here')
    expect(told.stdout).toMatch(/many:1 {2}is not whole: 1 missing, \d+ of \d+ parts here\n/)
    expect(told.stdout).toContain(`  blob ${layerOf(arm).digest}: blob unknown`)
  })

  test('where there is no such image, or no such platform', async () => {
    await using site = await start()
    const told = await run(site, ['pull', '--json', 'none:1', '--platform', 'linux/riscv64', 'many:1'])
    expect([told.code, told.stderr]).toEqual([1, 'outport: 2 of 2 images are not all here\n'])
    const reasons = new Map(jsonOf(told).map(({ image, reason }) => [image, reason]))
    expect(reasons.get('docker.io/library/none:1')).toMatch(/^manifest unknown/)
    expect(reasons.get('docker.io/library/many:1')).toMatch(/not for linux\/riscv64, but for linux\/amd64/)
  })

  test('while upstream is down', async () => {
    await using site = await start()
    await site.upstream.stop()
    const told = await run(site, ['pull', 'other'])
    expect(told.code).toBe(1)
    expect(told.stdout).toMatch(/other:latest {2}is not here: the upstream registry cannot be reached: /)
  })

  test('by the time that was given: what is missing is told, and what was under way ends', async () => {
    await using site = await start()
    using _ = site.upstream.fault({ on: { kind: 'blob', digest: layerOf(app).digest }, stallAt: 2 * MiB })
    const until = new Date(Date.now() + 5000).toISOString()
    const told = await run(site, ['pull', '--until', until, 'many:1'])
    expect([told.code, told.stderr]).toEqual([1, 'outport: 1 of 1 images are not all here\n'])
    expect(told.stdout).toContain(`  blob ${layerOf(app).digest}: the time is up\n`)
    await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)
    expect(await site.edge.metrics('outport_fill_failures_total')).toBe(0)
  })

  test('yet is tried again until the time that was given', { timeout: 60_000 }, async () => {
    await using site = await start()
    await site.upstream.stop()
    const pulling = run(site, ['pull', '--until', new Date(Date.now() + 50_000).toISOString(), 'other'])
    await expect
      .poll(() => site.edge.metrics('outport_upstream_requests_total'), { timeout: 20_000 })
      .toBeGreaterThan(0)
    await site.upstream.restart()
    expect(await pulling).toMatchObject({ code: 0, stderr: '' })
  })

  test('for want of room', async () => {
    const policy = { more: [{ kind: 'cache', budget: '2MiB' }] }
    await using site = await start({ policy })
    const told = await run(site, ['pull', 'many:1'])
    expect(told.code).toBe(1)
    expect(told.stdout).toContain('this site has no room for it')
  })
})

test('who presses Ctrl-C is told what is here, and goes on from there', async () => {
  await using site = await start()
  const layer = layerOf(app)
  const stalled = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, stallAt: 2 * MiB })
  const entry = join(import.meta.dirname, '../../outport.js')
  const env = { ...plainEnvironment(), OUTPORT_DATA: site.edge.data, OUTPORT_POLICIES: site.edge.policies }
  const child = spawn(process.execPath, [entry, 'pull', 'many:1'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const said = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  await stalled.struck()
  await expect
    .poll(async () => (await storedDigests(site.edge.data)).includes(layerOf(arm).digest))
    .toBe(true)
  await new Promise((resolve) => setTimeout(resolve, 500))
  child.kill('SIGINT')
  const [stdout, stderr, [code]] = await said
  expect([code, stderr]).toEqual([1, 'outport: stopped before all was here\n'])
  expect(stdout).toMatch(
    /^docker\.io\/library\/many:1 {2}stopped: \d+ of 14 parts here, \d\.\d MiB of 5\.\d MiB\n$/,
  )
  await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)

  stalled[Symbol.dispose]()
  site.upstream.clear()
  expect((await run(site, ['pull', 'many:1'])).code).toBe(0)
  expect(site.upstream.blobBytes()).toBeLessThan(1.6 * MiB)
})

test('a client that joins what a pull has begun gets all of it when the pull is stopped', {
  timeout: 60_000,
}, async () => {
  await using site = await start()
  const layer = layerOf(app)
  const stalled = site.upstream.fault({ on: { kind: 'blob', digest: layer.digest }, stallAt: 2 * MiB })
  const until = new Date(Date.now() + 5000).toISOString()
  const pulling = run(site, ['pull', '--until', until, 'many:1'])
  await stalled.struck()
  const asked = fetchBlob(`${site.edge.url}/v2/library/many/blobs/${layer.digest}`)
  expect((await pulling).code).toBe(1)
  expect(await site.edge.metrics('outport_fills')).toBe(1)
  stalled[Symbol.dispose]()
  expect(await asked).toMatchObject({ status: 200, complete: true, sha256: layer.digest })
})
