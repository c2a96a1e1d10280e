import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { outport } from '../support/command.ts'
import type { Edge } from '../support/edge.ts'
import { fetchBlob } from '../support/fetch-blob.ts'
import { basic, createPusher, password, startHosted } from '../support/hosted.ts'
import { blobsOf, buildImage } from '../support/images.ts'
import { canLimitMemory, createMemoryCgroup } from '../support/memory-cgroup.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { pull } from '../support/pull.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startUpstream } from '../support/upstream.ts'
import { storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const name = 'team/app'
const shown = basic('admin', password)

async function pulled(edge: Edge, path: string): Promise<string | number> {
  const { status, sha256 } = await fetchBlob(`${edge.url}/v2/${path}`, { headers: shown })
  return status === 200 ? sha256 : status
}

interface Sending {
  /** Bytes handed to the connection. */
  readonly sent: number
  /** The status; `undefined` when the connection ended before there was one. */
  readonly status: Promise<number | undefined>
}

/** As over a line of some MiB a second. */
function sendAtPace(edge: Edge, path: string, bytes: Buffer): Sending {
  const state = { sent: 0 }
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  const headers = { ...shown, 'content-length': bytes.length }
  const going = request(new URL(path, edge.url), { method: 'PATCH', headers, agent: false })
  going
    .on('error', () => resolve(undefined))
    .on('response', (response) => {
      response.resume().on('error', () => {})
      resolve(response.statusCode)
    })
  const step = 256 * 1024
  void (async () => {
    for (; state.sent < bytes.length && !going.destroyed; state.sent += step) {
      await new Promise((written) => going.write(bytes.subarray(state.sent, state.sent + step), written))
      await pause(5)
    }
    going.end()
  })()
  return {
    get sent() {
      return state.sent
    },
    status: promise,
  }
}

test('an upload in chunks goes on over five restarts, and sends no more than a chunk again for each', {
  timeout: 180_000,
}, async () => {
  const chunkBytes = 4 * MiB
  await using edge = await startHosted()
  const client = createPusher(edge)
  const bytes = Buffer.from(pseudoRandomBytes(40 * MiB, 'restarts'))
  const digest = digestOf(bytes)
  let location = await client.begin(name)
  let offset = 0
  let restarts = 0
  let sentAgain = 0
  while (offset < bytes.length) {
    const chunk = bytes.subarray(offset, offset + chunkBytes)
    const sending = sendAtPace(edge, location, chunk)
    const interrupts = restarts < 5 && offset >= restarts * 7 * MiB
    if (interrupts) {
      await expect.poll(() => sending.sent).toBeGreaterThan(chunkBytes / 3)
      restarts += 1
      if (restarts % 2 === 0) await edge.kill()
      await edge.restart()
    }
    await sending.status
    const looked = await client.send('GET', location)
    expect(looked.status).toBe(204)
    const end = Number(looked.headers.get('range')?.split('-')[1])
    const next = end === 0 ? 0 : end + 1
    // What was acknowledged stays, and nothing is there that was not sent.
    expect(next).toBeGreaterThanOrEqual(offset)
    expect(next).toBeLessThanOrEqual(offset + chunk.length)
    sentAgain += Math.max(0, offset + Math.min(chunk.length, sending.sent) - next)
    offset = next
    location = looked.headers.get('location') ?? ''
  }
  expect(restarts).toBe(5)
  expect(sentAgain).toBeLessThanOrEqual(5 * chunkBytes)
  expect((await client.send('PUT', `${location}&digest=${digest}`)).status).toBe(201)
  expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(digest)
  expect(await edge.metrics('outport_uploads_unfinished_bytes')).toBe(0)
})

describe('killed while room is made for a push', () => {
  test.each([
    'before-unlink',
    'amid-unlinks',
    'after-unlinks',
  ])('%s: what was acknowledged is whole, and the push succeeds when it is repeated', {
    timeout: 120_000,
  }, async (failpoint) => {
    await using folder = await temporaryDirectory()
    await using upstream = await startUpstream()
    const cached = [0, 1, 2].map((at) =>
      buildImage({ layers: [2 * MiB], seed: `cached ${at}`, compression: 'none' }),
    )
    for (const [at, image] of cached.entries()) upstream.addImage(`library/app${at}`, '1', image)
    const more = [
      { kind: 'registry', name: 'hub', type: 'docker-registry', url: upstream.url },
      { kind: 'project', name: 'hub', proxy: 'hub', public: true },
      { kind: 'cache', budget: '12MiB', high: '90%', low: '40%', reserve: '1%', scrub: false },
    ]
    const kept = buildImage({ layers: [MiB], seed: 'kept', compression: 'none' })
    const wanted = buildImage({ layers: [4 * MiB], seed: 'wanted', compression: 'none' })
    let isAcknowledged = false
    {
      const env = { OUTPORT_FAILPOINT: `${failpoint}!` }
      await using edge = await startHosted({ more, data: folder.path, env })
      await createPusher(edge).pushImage(name, kept, '1')
      for (const at of cached.keys()) await pull(edge.url, `hub/library/app${at}`, '1')
      const said = await createPusher(edge)
        .pushImage(name, wanted, '2')
        .catch(() => undefined)
      isAcknowledged = said?.status === 201
      expect((await edge.exited).signal).toBe('SIGKILL')
    }
    await using edge = await startHosted({ more, data: folder.path })
    for (const { digest } of blobsOf(kept)) expect(await pulled(edge, `${name}/blobs/${digest}`)).toBe(digest)
    expect(await pulled(edge, `${name}/manifests/1`)).toBe(kept.manifest.digest)
    const { digest } = wanted.manifest
    expect(isAcknowledged ? [digest] : [404, digest]).toContain(await pulled(edge, `${name}/manifests/2`))
    expect((await createPusher(edge).pushImage(name, wanted, '2')).status).toBe(201)
    expect((await pull(edge.url, name, '2', { headers: shown })).digest).toBe(wanted.manifest.digest)
    for (const at of cached.keys())
      expect((await pull(edge.url, `hub/library/app${at}`, '1')).digest).toBe(cached[at]?.manifest.digest)
    expect((await pull(edge.url, name, '1', { headers: shown })).digest).toBe(kept.manifest.digest)
    const { stdout } = await outport(['fsck', '--json', '--repair'], {
      OUTPORT_DATA: folder.path,
      OUTPORT_POLICIES: edge.policies,
    })
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ kind: 'end', rotten: 0 })
    await storedDigests(folder.path)
  })
})

describe.skipIf(!canLimitMemory())('with 256 MiB, page cache included', () => {
  test('twenty push at once, and fifty more begin and send nothing', { timeout: 180_000 }, async () => {
    await using group = createMemoryCgroup(256 * MiB)
    await using edge = await startHosted({ through: group.through })
    const client = createPusher(edge)
    const idle = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const path = await client.begin(name)
        const headers = { ...shown, 'content-length': 1024 * MiB }
        const sent = request(new URL(path, edge.url), { method: 'PATCH', headers, agent: false })
        sent.on('error', () => {}).flushHeaders()
        return sent
      }),
    )
    const blobs = Array.from({ length: 20 }, (_, at) => {
      const bytes = Buffer.alloc(32 * MiB, `blob ${at} `)
      return { bytes, digest: digestOf(bytes) }
    })
    const puts = await Promise.all(blobs.map((blob) => client.pushBlob(name, blob)))
    expect(puts.map(({ status }) => status)).toEqual(blobs.map(() => 201))
    expect(await group.oomKills()).toBe(0)
    expect(await group.peakBytes()).toBeLessThanOrEqual(256 * MiB)
    const status = await readFile(`/proc/${edge.pid}/status`, 'utf8')
    expect(Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024).toBeLessThan(256 * MiB)
    for (const sent of idle) sent.destroy()
    expect(new Set(await storedDigests(edge.data))).toEqual(new Set(blobs.map(({ digest }) => digest)))
    expect((await fetch(`${edge.url}/livez`)).status).toBe(200)
  })
})
