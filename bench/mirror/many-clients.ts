import { blobUrl } from '../support/content.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, oneBlob, usualLine } from './case.ts'

const clients = 30

export const manyClients: Case = {
  number: 1,
  asks: `${clients} clients ask at once for one cold blob of 64 MiB, all over one line of 40 MiB/s and 20 ms`,
  figures: [
    { key: 'upstream', title: 'from upstream, × blob', digits: 2, required: { of: 'worst', atMost: 1.01 } },
    { key: 'firstByte', title: 'last first byte, s', digits: 2, required: { of: 'median', atMost: 0.15 } },
    { key: 'done', title: 'all done, s', digits: 2, required: { of: 'median', atMost: 2 } },
    {
      key: 'right',
      title: `clients served, of ${clients}`,
      digits: 0,
      required: { of: 'worst', atLeast: clients },
    },
  ],
  deadlineMs: 120_000,
  upstream: ({ sizeOf }) => oneBlob(sizeOf(64), { line: usualLine }),
  async measure({ upstream, image, signal, start }) {
    const url = blobUrl(await start(), image)
    const reads = Array.from({ length: clients }, () => readBlob(url, { blob: image.content }, signal))
    const got = await Promise.all(reads)
    const { blobBytes } = await upstream.count(signal)
    return {
      upstream: blobBytes / image.bytes,
      firstByte: Math.max(...got.map(({ firstByteMs }) => firstByteMs)) / 1000,
      done: Math.max(...got.map(({ ms }) => ms)) / 1000,
      right: got.filter(({ complete }) => complete).length,
    }
  },
}
