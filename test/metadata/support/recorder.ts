import { openMetadata } from '../../../src/metadata/open-metadata.ts'
import { recordOf } from './records.ts'

/** Records without end, many at a time, and prints the number of each when it is acknowledged. `argv`: file, durability. */
const [, , file = '', durability] = process.argv
const metadata = await openMetadata({ file, durability: durability === 'fast' ? 'fast' : 'full' })

const limit = Number(process.argv[4] ?? Number.POSITIVE_INFINITY)
let next = 0
const workers = Array.from({ length: limit === Number.POSITIVE_INFINITY ? 16 : 1 }, async () => {
  while (next < limit) {
    const number = next++
    await metadata.recordManifest(recordOf(number))
    process.stdout.write(`${number}\n`)
  }
})
await Promise.all(workers)
await metadata.close()
