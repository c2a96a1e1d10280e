import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import type { Metadata } from '../../src/metadata/metadata.ts'
import { openMetadata } from '../../src/metadata/open-metadata.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { recordOf } from './support/records.ts'

const recorder = join(import.meta.dirname, 'support', 'recorder.ts')

test('killed in the middle of writing: everything acknowledged is there, and every record is whole or absent', async () => {
  await using directory = await temporaryDirectory()
  const file = join(directory.path, 'outport.db')
  const acknowledged = new Set<number>()

  // The same numbers again each time: what an earlier life left must not disturb the next one.
  for (const killAfter of [1, 40, 300]) await recordUntilKilled(file, killAfter, acknowledged)

  const metadata = await openMetadata({ file, durability: 'full' })
  const highest = Math.max(...acknowledged)
  for (let number = 0; number <= highest + 50; number++) {
    const parts = await partsOf(metadata, number)
    const whole = parts.every(Boolean)
    expect(whole || !parts.some(Boolean), `record ${number} is whole or absent`).toBe(true)
    if (acknowledged.has(number)) expect(whole, `record ${number} was acknowledged`).toBe(true)
  }
  await metadata.close()
  expect(acknowledged.size).toBeGreaterThanOrEqual(300)
})

test.skipIf(!hasStrace())(
  'strace: the log is synced before each answer, and never with durability fast',
  async () => {
    await using directory = await temporaryDirectory()
    const full = await tracedCalls(join(directory.path, 'full.db'), 'full')
    const fast = await tracedCalls(join(directory.path, 'fast.db'), 'fast')

    for (const number of [1, 2, 3]) {
      const since = full.slice(full.indexOf(`answer ${number - 1}`), full.indexOf(`answer ${number}`))
      expect(since, `between answers ${number - 1} and ${number}`).toContain('sync')
    }
    expect(fast.slice(fast.indexOf('answer 0'), fast.indexOf('answer 3'))).not.toContain('sync')
  },
)

async function recordUntilKilled(file: string, killAfter: number, acknowledged: Set<number>): Promise<void> {
  const child = spawn(process.execPath, [recorder, file, 'full'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let heard = 0
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.add(Number(line))
    heard++
    if (heard === killAfter) child.kill('SIGKILL')
  }
  await ended(child)
  expect(child.signalCode).toBe('SIGKILL')
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** Manifest row, link, tag and each child: is it there? */
async function partsOf({ manifests, links, tags }: Metadata, number: number): Promise<boolean[]> {
  const { repository, digest, size, children, tag } = recordOf(number)
  const stated = await Promise.all(children.map((child) => manifests.statedSize(repository, child.digest)))
  return [
    (await manifests.find(digest))?.size === size,
    (await links.find(repository, digest))?.origin === 'filled',
    tag !== undefined && (await tags.find(repository, tag.tag))?.digest === digest,
    ...stated.map((bytes, index) => bytes === children[index]?.size),
  ]
}

function hasStrace(): boolean {
  return spawnSync('strace', ['-V']).status === 0
}

/** What the recorder did, in order: `sync`, and `answer n` when it told that record n is kept. */
async function tracedCalls(file: string, durability: string): Promise<string[]> {
  const trace = ['-f', '-qq', '-e', 'trace=fsync,fdatasync,write', '-e', 'signal=none']
  const child = spawn('strace', [...trace, process.execPath, recorder, file, durability, '4'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const calls: string[] = []
  for await (const line of createInterface({ input: child.stderr })) {
    const answer = /write\(1, "(\d+)\\n"/.exec(line)
    if (answer) calls.push(`answer ${answer[1]}`)
    else if (/f(?:data)?sync\(/.test(line)) calls.push('sync')
  }
  await ended(child)
  return calls
}
