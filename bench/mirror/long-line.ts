import { blobUrl } from '../support/content.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, mebibyte, oneBlob } from './case.ts'

const streamMebibytesPerSecond = 8
/** Enough for whoever keeps to what is required; of the others the rate up to then is known. */
const windowMs = 20_000
const streamMebibytes = 16

export const longLine: Case = {
  number: 8,
  asks: `a cold blob of 512 MiB, a round trip of 100 ms and ${streamMebibytesPerSecond} MiB/s for each connection; ${windowMs / 1000} s at most`,
  figures: [
    { key: 'times', title: 'rate, × one stream', digits: 2, required: { of: 'median', atLeast: 4 } },
    { key: 'rate', title: 'MiB/s', digits: 1 },
    { key: 'stream', title: 'one stream from upstream, MiB/s', digits: 1 },
    { key: 'upstream', title: 'from upstream so far, × what came', digits: 2 },
    { key: 'right', title: 'what came is right', digits: 0, required: { of: 'worst', atLeast: 1 } },
    { key: 'whole', title: 'all of it came', digits: 0, required: { of: 'worst', atLeast: 1 } },
  ],
  deadlineMs: 60_000,
  upstream: ({ sizeOf }) =>
    oneBlob(sizeOf(512), {
      perConnection: { bytesPerSecond: streamMebibytesPerSecond * mebibyte, latencyMs: 100 },
    }),
  async measure({ upstream, image, signal, start, sizeOf }) {
    const server = await start()
    const options = { blob: image.content, leaveOn: AbortSignal.timeout(windowMs) }
    const read = await readBlob(blobUrl(server, image), options, signal)
    const { blobBytes } = await upstream.count(signal)
    const rate = read.bytes / mebibyte / (read.ms / 1000)

    await server[Symbol.asyncDispose]()
    const straight = { blob: image.content, leaveAfter: sizeOf(streamMebibytes) }
    const one = await readBlob(blobUrl(upstream, image), straight, signal)
    const stream = one.bytes / mebibyte / ((one.ms - one.firstByteMs) / 1000)
    return {
      times: rate / stream,
      rate,
      stream,
      upstream: blobBytes / read.bytes,
      right: Number(read.right),
      whole: Number(read.complete),
    }
  },
}
