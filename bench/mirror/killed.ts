import { blobUrl } from '../support/content.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, oneBlob, usualLine } from './case.ts'
import { settled } from './settled.ts'

const killedAt = 0.6

export const killed: Case = {
  number: 4,
  asks: `kill -9 when the client of a cold blob of 256 MiB has ${killedAt * 100} %, restart, pull again`,
  figures: [
    { key: 'refetched', title: 'refetched, × blob', digits: 2, required: { of: 'worst', atMost: 0.42 } },
    { key: 'whole', title: 'client got it whole', digits: 0, required: { of: 'worst', atLeast: 1 } },
  ],
  deadlineMs: 90_000,
  upstream: ({ sizeOf }) => oneBlob(sizeOf(256), { line: usualLine }),
  async measure({ upstream, image, signal, install, start }) {
    const read = async () => (await upstream.count(signal)).blobBytes
    const installation = await install()
    const first = await start({ installation })
    const leaveAfter = Math.floor(image.bytes * killedAt)
    await readBlob(blobUrl(first, image), { blob: image.content, leaveAfter }, signal)
    await first.kill()

    const before = await settled(read, { quietMs: 200, atMostMs: 5_000 }, signal)
    const second = await start({ installation })
    const { complete } = await readBlob(blobUrl(second, image), { blob: image.content }, signal)
    return { refetched: ((await read()) - before) / image.bytes, whole: Number(complete) }
  },
}
