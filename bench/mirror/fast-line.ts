import { blobUrl } from '../support/content.ts'
import { cpuSecondsOf } from '../support/process-cost.ts'
import { readBlob } from '../support/read-blob.ts'
import { type Case, oneBlob } from './case.ts'
import { settled } from './settled.ts'

export const fastLine: Case = {
  number: 10,
  asks: 'a cold blob of 512 MiB over a line without limits, to the disk and one client; GB = 1e9 bytes',
  figures: [
    {
      key: 'cpuPerGB',
      title: 'CPU s/GB',
      digits: 2,
      compared: true,
      required: { of: 'ratio', atMost: 1.3 },
    },
    { key: 'rate', title: 'GB/s', digits: 2 },
    { key: 'whole', title: 'client got it whole', digits: 0, required: { of: 'worst', atLeast: 1 } },
  ],
  deadlineMs: 90_000,
  upstream: ({ sizeOf }) => oneBlob(sizeOf(512)),
  async measure({ image, signal, start }) {
    const server = await start()
    const read = () => cpuSecondsOf(server.pid)
    const before = await read()
    const { complete, ms } = await readBlob(blobUrl(server, image), { blob: image.content }, signal)
    // Some tell the client before they have put everything in its place.
    const after = await settled(read, { quietMs: 300, atMostMs: 5_000 }, signal)
    const gigabytes = image.bytes / 1e9
    return {
      cpuPerGB: complete ? (after - before) / gigabytes : Number.NaN,
      rate: gigabytes / (ms / 1000),
      whole: Number(complete),
    }
  },
}
