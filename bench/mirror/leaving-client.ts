import { blobUrl } from '../support/content.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, oneBlob, usualLine } from './case.ts'
import { settled } from './settled.ts'

export const leavingClient: Case = {
  number: 7,
  asks: 'the client of a cold blob of 64 MiB leaves at 10 %; when the line is quiet another one reads it',
  figures: [
    { key: 'extra', title: 'second reader, × blob', digits: 2, required: { of: 'worst', atMost: 0 } },
    {
      key: 'upstream',
      title: 'from upstream in all, × blob',
      digits: 2,
      required: { of: 'worst', atMost: 1.01 },
    },
    { key: 'whole', title: 'second got it whole', digits: 0, required: { of: 'worst', atLeast: 1 } },
  ],
  deadlineMs: 90_000,
  upstream: ({ sizeOf }) => oneBlob(sizeOf(64), { line: usualLine }),
  async measure({ upstream, image, signal, start }) {
    const url = blobUrl(await start(), image)
    const leaveAfter = Math.floor(image.bytes / 10)
    await readBlob(url, { blob: image.content, leaveAfter }, signal)
    const read = async () => (await upstream.count(signal)).blobBytes
    const before = await settled(read, { quietMs: 500, atMostMs: 30_000 }, signal)
    const { complete } = await readBlob(url, { blob: image.content }, signal)
    const after = await read()
    return {
      extra: (after - before) / image.bytes,
      upstream: after / image.bytes,
      whole: Number(complete),
    }
  },
}
