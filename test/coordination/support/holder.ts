import { lockDataDirectory } from '../../../src/coordination/data-lock.ts'

/** Holds the lock of `argv`'s directory until its standard input ends, and says so. */
const [, , directory = ''] = process.argv
try {
  const lock = await lockDataDirectory(directory)
  process.stdout.write('held\n')
  process.stdin.resume().on('end', async () => {
    await lock[Symbol.asyncDispose]()
    process.stdout.write('released\n')
  })
} catch (error) {
  process.stdout.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
