import { blobUrl, readManifests } from '../support/content.ts'
import { cpuSecondsOf } from '../support/process-cost.ts'
import { readBlob } from '../support/read-blob.ts'
import type { Case } from './case.ts'
import { settled } from './settled.ts'

/** Noise of a machine that others use too comes and goes within seconds. */
const blobs = 3

export const fastLine: Case = {
  number: 10,
  asks: `${blobs} cold blobs of 512 MiB one after another over a line without limits, to the disk and one client; GB = 1e9 bytes`,
  figures: [
    {
      key: 'cpuPerGB',
      title: 'CPU s/GB',
      digits: 2,
      compared: true,
      required: { of: 'ratio', atMost: 1.3 },
    },
    { key: 'rate', title: 'GB/s', digits: 2 },
    { key: 'whole', title: 'came whole', digits: 0, required: { of: 'worst', atLeast: blobs } },
  ],
  deadlineMs: 180_000,
  upstream: ({ sizeOf }) => ({
    images: Array.from({ length: blobs }, (_, at) => ({
      repository: `bench/blob${at}`,
      tag: '1',
      layers: [sizeOf(512)],
    })),
  }),
  async measure({ images, signal, start }) {
    const server = await start({ untouched: true })
    const usage = () => cpuSecondsOf(server.pid)
    const total = { cpu: 0, ms: 0, bytes: 0, whole: 0 }
    for (const image of images) {
      await readManifests(server, image, signal)
      const before = await usage()
      const { complete, ms } = await readBlob(blobUrl(server, image), { blob: image.content }, signal)
      // Some tell the client before they have put everything in its place.
      total.cpu += (await settled(usage, { quietMs: 300, atMostMs: 5_000 }, signal)) - before
      total.ms += ms
      total.bytes += image.bytes
      total.whole += Number(complete)
    }
    const gigabytes = total.bytes / 1e9
    return {
      cpuPerGB: total.whole === images.length ? total.cpu / gigabytes : Number.NaN,
      rate: gigabytes / (total.ms / 1000),
      whole: total.whole,
    }
  },
}
