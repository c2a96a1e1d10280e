import { blobUrl } from '../support/content.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, oneBlob, usualLine } from './case.ts'

const times = 3

export const resets: Case = {
  number: 3,
  asks: `upstream resets the connection in the middle of a cold blob of 64 MiB, ${times} times`,
  figures: [
    { key: 'whole', title: 'client got it whole', digits: 0, required: { of: 'worst', atLeast: 1 } },
    { key: 'upstream', title: 'from upstream, × blob', digits: 2, required: { of: 'worst', atMost: 1.01 } },
    { key: 'done', title: 'done, s', digits: 2 },
  ],
  deadlineMs: 90_000,
  upstream({ sizeOf }) {
    const bytes = sizeOf(64)
    return oneBlob(bytes, { line: usualLine, resets: { times, afterBytes: Math.floor(bytes / (times + 1)) } })
  },
  async measure({ upstream, image, signal, start }) {
    const read = await readBlob(blobUrl(await start(), image), { blob: image.content }, signal)
    const { blobBytes } = await upstream.count(signal)
    return { whole: Number(read.complete), upstream: blobBytes / image.bytes, done: read.ms / 1000 }
  },
}
