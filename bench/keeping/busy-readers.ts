import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { unlessAbsent } from '../../src/flow/unless-absent.ts'
import { pull } from '../../test/support/pull.ts'
import { startShapedUpstream } from '../support/shaped-upstream.ts'
import { asPolicy, installOutport, type KeepingCase, mebibyte, metricOf } from './case.ts'

const budgetBytes = 100 * mebibyte
const layerBytes = 2 * mebibyte
const layersOfImage = 2
const imageCount = 75
const readers = 20
const sampleEveryMs = 20

export const busyReaders: KeepingCase = {
  number: 1,
  asks: `budget of 100 MiB, ${readers} readers of 300 MiB at random`,
  figures: [
    {
      key: 'over',
      title: 'most on disk over the budget, × blob',
      digits: 2,
      required: { of: 'worst', atMost: 1 },
    },
    { key: 'failed', title: 'failed pulls', digits: 0, required: { of: 'worst', atMost: 0 } },
    { key: 'wrong', title: 'pulls with wrong bytes', digits: 0, required: { of: 'worst', atMost: 0 } },
    { key: 'pulls', title: 'pulls', digits: 0, required: { of: 'worst', atLeast: 100 } },
    { key: 'evicted', title: 'MiB evicted', digits: 0, required: { of: 'worst', atLeast: 100 } },
    { key: 'passed', title: 'blobs passed on unkept', digits: 0 },
  ],
  deadlineMs: 180_000,
  async measure(quick, signal) {
    const images = Array.from({ length: imageCount }, (_, at) => ({
      repository: `bench/image${at}`,
      tag: '1',
      layers: Array<number>(layersOfImage).fill(layerBytes),
    }))
    await using upstream = await startShapedUpstream({ images }, signal)
    await using installation = await installOutport(
      upstream.url,
      asPolicy({ budget: '100MiB', scrub: false }),
    )
    await using server = await installation.start(signal)
    const count = { pulls: 0, failed: 0, wrong: 0 }
    const until = performance.now() + (quick ? 5_000 : 30_000)

    async function read(): Promise<void> {
      while (performance.now() < until) {
        const image = images[Math.floor(Math.random() * images.length)]
        if (!image) return
        count.pulls += 1
        await pull(server.url, image.repository, image.tag, { signal }).catch((error: unknown) => {
          signal.throwIfAborted()
          count[/bytes, not|wrong bytes/.test(String(error)) ? 'wrong' : 'failed'] += 1
        })
      }
    }
    const over = new AbortController()
    const watching = mostBytesIn(installation.data, over.signal)
    await Promise.all(Array.from({ length: readers }, read))
    over.abort()
    return {
      ...count,
      over: ((await watching) - budgetBytes) / layerBytes,
      evicted: (await metricOf(server, 'outport_evicted_bytes_total')) / mebibyte,
      passed: await metricOf(server, 'outport_fill_skipped_disk_total'),
    }
  },
}

/** What has stood in the files of blobs and fills, looked at until `signal` says that it is enough. */
async function mostBytesIn(data: string, signal: AbortSignal): Promise<number> {
  let most = 0
  while (!signal.aborted) {
    // A fill that becomes a blob between the two is one file, and counted once.
    const sizes = new Map<string, number>()
    for (const folder of ['fills', 'blobs']) await addSizes(sizes, join(data, folder))
    most = Math.max(
      most,
      sizes.values().reduce((sum, size) => sum + size, 0),
    )
    await pause(sampleEveryMs)
  }
  return most
}

async function addSizes(sizes: Map<string, number>, folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => each.isFile())) {
    const stats = await unlessAbsent(stat(join(entry.parentPath, entry.name)))
    const name = entry.name.replace(/^sha256-|\.part$/g, '')
    // A file with holes takes what of it is there.
    if (stats) sizes.set(name, Math.min(stats.size, stats.blocks * 512))
  }
}
