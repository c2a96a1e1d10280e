import { blobUrl } from '../support/content.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, mebibyte, oneBlob } from './case.ts'

const rangeBytes = 64 * 1024

export const farRange: Case = {
  number: 5,
  asks: 'a range near the end of a cold blob of 32 MiB, a line of 8 MiB/s and 20 ms',
  figures: [
    { key: 'status', title: 'status', digits: 0, required: { of: 'worst', atLeast: 206, atMost: 206 } },
    {
      key: 'firstByte',
      title: 'first byte of what was asked, s',
      digits: 2,
      required: { of: 'median', atMost: 0.3 },
    },
    { key: 'whole', title: 'client got it whole', digits: 0, required: { of: 'worst', atLeast: 1 } },
  ],
  deadlineMs: 60_000,
  upstream: ({ sizeOf }) => oneBlob(sizeOf(32), { line: { bytesPerSecond: 8 * mebibyte, latencyMs: 20 } }),
  async measure({ image, signal, start }) {
    const first = Math.floor(image.bytes * (31 / 32))
    const range = { first, last: Math.min(first + rangeBytes, image.bytes) - 1 }
    const read = await readBlob(blobUrl(await start(), image), { blob: image.content, range }, signal)
    return { status: read.status, firstByte: read.firstByteMs / 1000, whole: Number(read.complete) }
  },
}
