import { expect, test } from 'vitest'
import { line } from '../support/line.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { readSlowly } from './support/readers.ts'
import { type FaultSite, repository, startSite } from './support/site.ts'
import { type Chance, soak, soakSeconds } from './support/soak.ts'
import { partsIn, storedDigests } from './support/stored.ts'

const MiB = 1024 * 1024
const size = 32 * MiB
const bytes = pseudoRandomBytes(size, 'readers')
const upstream = { line: line({ bytesPerSecond: 32 * MiB }) }

test('twenty readers at twenty speeds, half of which leave: each has the right bytes, and upstream gives them once', {
  timeout: (soakSeconds + 40) * 1000,
}, async () => {
  await soak(1, async (chance) => {
    await using site = await startSite({ upstream })
    const digest = site.upstream.addBlob(repository, bytes)
    const url = `${site.edge.url}/v2/${repository}/blobs/${digest}`
    const signal = AbortSignal.timeout(30_000)
    const staying = speedsOf(10).map((bytesPerSecond) => readSlowly(url, bytes, { bytesPerSecond, signal }))
    const leaving = speedsOf(10).map((bytesPerSecond) =>
      readSlowly(url, bytes, { ...leaverOf(chance, bytesPerSecond), signal }),
    )
    // It begins to read when nobody else does any more.
    const sleeper = readSlowly(url, bytes, { until: Promise.all([...staying, ...leaving]), signal })

    const whole = { status: 200, bytes: size, isRight: true, isComplete: true }
    expect(await Promise.all(staying)).toEqual(staying.map(() => whole))
    for (const each of await Promise.all(leaving)) {
      expect(each).toMatchObject({ status: 200, isRight: true, isComplete: false })
    }
    expect(await sleeper).toEqual(whole)
    await expectOnce(site, digest)
  })
})

test('all clients leave a tenth into the blob: the fill runs to its end, and the next client costs upstream nothing', async () => {
  await using site = await startSite({ upstream })
  const digest = site.upstream.addBlob(repository, bytes)
  const url = `${site.edge.url}/v2/${repository}/blobs/${digest}`

  const left = await Promise.all([1, 2, 3].map(() => readSlowly(url, bytes, { leaveAt: size / 10 })))
  expect(left.filter(({ isRight, isComplete }) => !isRight || isComplete)).toEqual([])
  expect(site.upstream.blobBytes(digest)).toBeLessThan(size)

  await expectOnce(site, digest)
})

async function expectOnce(site: FaultSite, digest: string): Promise<void> {
  await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)
  expect(await storedDigests(site.edge.data)).toContain(digest)
  expect(await partsIn(site.edge.data)).toEqual([])
  const again = await site.ask(`blobs/${digest}`, { keep: false })
  expect(again).toMatchObject({ complete: true, sha256: digest, headers: { 'x-outport-cache': 'hit' } })
  expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(size * 1.01)
}

/** From as fast as it comes down to what takes eight seconds for the blob. */
function speedsOf(count: number): number[] {
  return Array.from({ length: count }, (_, at) =>
    at === 0 ? Number.POSITIVE_INFINITY : (64 * MiB) / 2 ** ((4 * at) / (count - 1)),
  )
}

/** Half of those who leave are a hundred times slower than anybody who stays. */
function leaverOf(chance: Chance, bytesPerSecond: number): { bytesPerSecond: number; leaveAt: number } {
  const speed = bytesPerSecond / chance.pick([1, 100])
  return { bytesPerSecond: speed, leaveAt: 1 + chance.below(Math.min(size, 5 * speed) - 1) }
}
