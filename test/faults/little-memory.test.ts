import { readFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { describe, expect, test } from 'vitest'
import { type Edge, mirrorPolicy, startEdge } from '../support/edge.ts'
import { fetchBlob, responseTo } from '../support/fetch-blob.ts'
import { canLimitMemory, createMemoryCgroup } from '../support/memory-cgroup.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { startUpstream } from '../support/upstream.ts'
import { repository } from './support/site.ts'
import { storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const limit = 256 * MiB

describe.skipIf(!canLimitMemory())('with 256 MiB, page cache included', () => {
  test('many clients of a layer that is larger get it, whatever others leave lying', {
    timeout: 60_000,
  }, async () => {
    await using group = createMemoryCgroup(limit)
    await using upstream = await startUpstream()
    const bytes = pseudoRandomBytes(320 * MiB, 'large')
    const digest = upstream.addBlob(repository, bytes)
    await using edge = await startEdge({
      policies: { 'p.yaml': mirrorPolicy(upstream) },
      through: group.through,
    })
    const url = `${edge.url}/v2/${repository}/blobs/${digest}`
    const leave = new AbortController()
    const stalled = await Promise.all(
      Array.from({ length: 150 }, () => responseTo(url, { signal: leave.signal })),
    )
    for (const response of stalled) response.on('error', () => {}).pause()

    const answers = await Promise.all(Array.from({ length: 6 }, () => fetchBlob(url)))

    for (const answer of answers)
      expect(answer).toMatchObject({ status: 200, complete: true, sha256: digest })
    expect(await group.oomKills()).toBe(0)
    expect(await peakResidentBytes(edge)).toBeLessThan(limit)
    expect(await group.peakBytes()).toBeLessThanOrEqual(limit)
    expect(upstream.blobBytes(digest)).toBeLessThanOrEqual(1.01 * bytes.length)
    leave.abort()
    expect(await storedDigests(edge.data)).toContain(digest)
  })

  test('thirty-two layers come at once, for clients of two addresses', { timeout: 60_000 }, async () => {
    await using group = createMemoryCgroup(limit)
    await using upstream = await startUpstream()
    const digests = Array.from({ length: 32 }, (_, at) =>
      upstream.addBlob(repository, Buffer.alloc(32 * MiB, at + 1)),
    )
    await using edge = await startEdge({
      policies: { 'p.yaml': mirrorPolicy(upstream) },
      through: group.through,
    })

    using stalled = upstream.fault({ on: { kind: 'blob', method: 'GET' }, stallAt: 16 * MiB })
    const agents = ['127.0.0.2', '127.0.0.3'].map((localAddress) => new Agent({ localAddress }))

    const asked = digests.map((digest, at) =>
      fetchBlob(`${edge.url}/v2/${repository}/blobs/${digest}`, { agent: agents[at % 2] as Agent }),
    )
    await stalled.struck(32)
    stalled.release()
    const answers = await Promise.all(asked)

    expect(answers.map(({ sha256 }) => sha256)).toEqual(digests)
    expect(await group.oomKills()).toBe(0)
    expect(await peakResidentBytes(edge)).toBeLessThan(limit)
  })
})

/** proc(5): `VmHWM`, in KiB. */
async function peakResidentBytes({ pid }: Edge): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}
