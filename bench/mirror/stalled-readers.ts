import { blobUrl } from '../support/content.ts'
import { peakBytesOf } from '../support/process-cost.ts'
import { readBlob, stallOn } from '../support/read-blob.ts'
import { type Case, mebibyte, oneBlob, type Stage } from './case.ts'
import { settled } from './settled.ts'

const mebibytesPerSecond = 100

export const stalledReaders: Case = {
  number: 2,
  asks: `readers of a cold blob of 256 MiB that take nothing, a line of ${mebibytesPerSecond} MiB/s: 50 and a fast one, then 400`,
  figures: [
    { key: 'peak50', title: '50: peak MiB', digits: 0, required: { of: 'worst', atMost: 180 } },
    {
      key: 'fast',
      title: 'the 51st, fast: MiB/s',
      digits: 0,
      required: { of: 'median', atLeast: mebibytesPerSecond * 0.9 },
    },
    { key: 'peak400', title: '400: peak MiB', digits: 0, required: { of: 'worst', atMost: 256 } },
    { key: 'begun', title: '400: answered with 200', digits: 0 },
  ],
  deadlineMs: 120_000,
  upstream: ({ sizeOf }) => oneBlob(sizeOf(256), { line: { bytesPerSecond: mebibytesPerSecond * mebibyte } }),
  async measure(stage) {
    const few = await withFastOne(stage)
    await stage.upstream.renew(stage.signal)
    return { ...few, ...(await withMany(stage)) }
  },
}

async function withFastOne({ image, signal, start }: Stage): Promise<{ peak50: number; fast: number }> {
  await using server = await start()
  const url = blobUrl(server, image)
  using stalled = stall(url, 50)
  await stalled.begun(signal)
  const { complete, bytes, ms } = await readBlob(url, { blob: image.content }, signal)
  return {
    peak50: (await peakBytesOf(server.pid)) / mebibyte,
    fast: complete ? bytes / mebibyte / (ms / 1000) : Number.NaN,
  }
}

/** Over when the server takes no more from upstream: all is here, or nobody wants more. */
async function withMany(stage: Stage): Promise<{ peak400: number; begun: number }> {
  const { image, upstream, quick, signal, start } = stage
  await using server = await start()
  using stalled = stall(blobUrl(server, image), quick ? 40 : 400)
  const read = async () => (await upstream.count(signal)).blobBytes
  const begun = await Promise.race([
    stalled.begun(signal),
    settled(read, { quietMs: 5_000, atMostMs: 20_000 }, signal).then(() => Number.NaN),
  ])
  await settled(read, { quietMs: 500, atMostMs: 20_000 }, signal)
  return { peak400: (await peakBytesOf(server.pid)) / mebibyte, begun }
}

interface Stalled extends Disposable {
  /** @returns how many have a 200, as soon as all have an answer */
  begun(signal: AbortSignal): Promise<number>
}

function stall(url: string, count: number): Stalled {
  const readers = Array.from({ length: count }, () => stallOn(url))
  return {
    async begun(signal) {
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
      const statuses = await Promise.race([Promise.all(readers.map((each) => each.begun)), aborted])
      return statuses.filter((status) => status === 200).length
    },
    [Symbol.dispose]() {
      for (const reader of readers) reader[Symbol.dispose]()
    },
  }
}
