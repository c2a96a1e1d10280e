import { blobUrl } from '../support/content.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, oneBlob, usualLine } from './case.ts'

const parts = 4

/** How containerd fetches a layer in parallel: ranges without an end, each left when its part is there. */
export const cutRanges: Case = {
  number: 6,
  asks: `${parts} open-ended ranges of a cold blob of 64 MiB at once, each cut after its quarter, then the whole`,
  figures: [
    { key: 'upstream', title: 'from upstream, × blob', digits: 2, required: { of: 'worst', atMost: 1.05 } },
    { key: 'quarters', title: 'quarters done, s', digits: 2 },
    {
      key: 'right',
      title: `answers right, of ${parts + 1}`,
      digits: 0,
      required: { of: 'worst', atLeast: parts + 1 },
    },
  ],
  deadlineMs: 90_000,
  upstream: ({ sizeOf }) => oneBlob(sizeOf(64), { line: usualLine }),
  async measure({ upstream, image, signal, start }) {
    const url = blobUrl(await start(), image)
    const step = Math.ceil(image.bytes / parts)
    const reads = Array.from({ length: parts }, (_, at) => {
      const range = { first: at * step }
      const leaveAfter = Math.min(step, image.bytes - range.first)
      return readBlob(url, { blob: image.content, range, leaveAfter }, signal)
    })
    const quarters = await Promise.all(reads)
    const whole = await readBlob(url, { blob: image.content }, signal)
    const { blobBytes } = await upstream.count(signal)
    return {
      upstream: blobBytes / image.bytes,
      quarters: Math.max(...quarters.map(({ ms }) => ms)) / 1000,
      right: [...quarters, whole].filter(({ complete }) => complete).length,
    }
  },
}
