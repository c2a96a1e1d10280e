import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cpuSecondsOf } from '../support/process-cost.ts'
import type { PushCase } from './case.ts'
import type { PushedImages } from './image-pusher.ts'

const clients = 8
const pusher = join(import.meta.dirname, 'image-pusher.ts')

export const smallImages: PushCase = {
  number: 3,
  asks: `images of a blob of 1 KiB, by ${clients} clients`,
  figures: [
    { key: 'rate', title: 'images/s', digits: 0, compared: true, required: { of: 'ratio', atLeast: 1 } },
    { key: 'cpu', title: 'CPU ms an image', digits: 2, compared: true },
  ],
  deadlineMs: 60_000,
  async measure({ server, headers, quick, signal }) {
    const order = { url: server.url, headers, clients, seconds: quick ? 2 : 10 }
    const before = await cpuSecondsOf(server.pid)
    const { stdout } = await promisify(execFile)(process.execPath, [pusher, JSON.stringify(order)], {
      signal,
    })
    const { images, seconds } = JSON.parse(stdout) as PushedImages
    return {
      rate: images / seconds,
      cpu: (((await cpuSecondsOf(server.pid)) - before) * 1000) / images,
    }
  },
}
