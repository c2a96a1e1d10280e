import { join } from 'node:path'
import { temporaryDirectory } from '../../test/support/temporary.ts'
import { cpuSecondsOf, forgetPeak, peakBytesOf } from '../support/process-cost.ts'
import { beginUpload, endUpload, mebibyte, type PushCase } from './case.ts'
import { digestOf, writeRandomFile } from './random-file.ts'
import { sendFile } from './upload.ts'

export const largeBlob: PushCase = {
  number: 1,
  asks: 'a blob of 1 GiB, in a chunked PATCH as docker and podman send it, and in a PUT of its length as containerd does',
  figures: [
    {
      key: 'chunked',
      title: 'CPU s/GB, chunked PATCH',
      digits: 3,
      compared: true,
      required: { of: 'ratio', atMost: 1.3 },
    },
    {
      key: 'whole',
      title: 'CPU s/GB, PUT',
      digits: 3,
      compared: true,
      required: { of: 'ratio', atMost: 1.3 },
    },
    { key: 'chunkedRate', title: 'GB/s, chunked PATCH', digits: 2 },
    { key: 'wholeRate', title: 'GB/s, PUT', digits: 2 },
    { key: 'peak', title: 'peak MiB', digits: 0 },
  ],
  deadlineMs: 180_000,
  async measure(stage) {
    const { server, quick } = stage
    await using directory = await temporaryDirectory()
    const bytes = (quick ? 64 : 1024) * mebibyte
    const [first, second] = [
      await writeRandomFile(join(directory.path, 'first'), bytes),
      await writeRandomFile(join(directory.path, 'second'), bytes),
    ]
    await forgetPeak(server.pid)
    const costOf = async (work: () => Promise<void>) => {
      const [cpuBefore, before] = [await cpuSecondsOf(server.pid), performance.now()]
      await work()
      const seconds = (performance.now() - before) / 1000
      return {
        cpu: ((await cpuSecondsOf(server.pid)) - cpuBefore) / (bytes / 1e9),
        rate: bytes / 1e9 / seconds,
      }
    }
    const chunked = await costOf(async () => {
      const options = { method: 'PATCH', isChunked: true, status: 202 } as const
      const place = await sendFile(stage, await beginUpload(stage), first.file, options)
      await endUpload(stage, place, digestOf(first.hash))
    })
    const whole = await costOf(async () => {
      const place = await beginUpload(stage)
      place.searchParams.set('digest', digestOf(second.hash))
      await sendFile(stage, place, second.file, { method: 'PUT', status: 201 })
    })
    return {
      ...{ chunked: chunked.cpu, whole: whole.cpu, chunkedRate: chunked.rate, wholeRate: whole.rate },
      peak: (await peakBytesOf(server.pid)) / mebibyte,
    }
  },
}
