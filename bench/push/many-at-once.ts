import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from '../../test/support/temporary.ts'
import { cpuSecondsOf, forgetPeak, peakBytesOf } from '../support/process-cost.ts'
import { beginUpload, endUpload, mebibyte, type PushCase } from './case.ts'
import { digestOf, writeRandomFile } from './random-file.ts'
import { sendFile } from './upload.ts'

const pushes = 20

export const manyAtOnce: PushCase = {
  number: 2,
  asks: `${pushes} blobs of 256 MiB at once`,
  figures: [
    { key: 'peak', title: 'peak MiB', digits: 0, required: { of: 'worst', atMost: 256 } },
    { key: 'cpu', title: 'CPU s/GB', digits: 3, compared: true },
    { key: 'rate', title: 'GB/s, all together', digits: 2 },
  ],
  deadlineMs: 300_000,
  async measure(stage) {
    const { server, quick } = stage
    await using directory = await temporaryDirectory()
    const shared = await writeRandomFile(join(directory.path, 'shared'), (quick ? 16 : 256) * mebibyte)
    await forgetPeak(server.pid)
    const [cpuBefore, before] = [await cpuSecondsOf(server.pid), performance.now()]

    async function pushOne(_: unknown, at: number): Promise<void> {
      // Its end makes each another blob.
      const ending = join(directory.path, `ending-${at}`)
      await writeFile(ending, `${at}`)
      const options = { method: 'PATCH', isChunked: true, status: 202 } as const
      const middle = await sendFile(stage, await beginUpload(stage), shared.file, options)
      const place = await sendFile(stage, middle, ending, options)
      await endUpload(stage, place, digestOf(shared.hash.copy().update(`${at}`)))
    }
    await Promise.all(Array.from({ length: pushes }, pushOne))

    const gigabytes = (pushes * shared.bytes) / 1e9
    const seconds = (performance.now() - before) / 1000
    return {
      peak: (await peakBytesOf(server.pid)) / mebibyte,
      cpu: ((await cpuSecondsOf(server.pid)) - cpuBefore) / gigabytes,
      rate: gigabytes / seconds,
    }
  },
}
