import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { lockDataDirectory } from '../../src/coordination/data-lock.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { canMount, mountTmpfs } from '../support/tmpfs.ts'

interface Holder extends AsyncDisposable {
  child: ChildProcessByStdio<Writable, Readable, null>
  /** Its next line. */
  said(): Promise<string>
}

function startHolder(directory: string): Holder {
  const source = join(import.meta.dirname, 'support', 'holder.ts')
  const child = spawn(process.execPath, [source, directory], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    child,
    said: async () => (await lines.next()).value ?? '',
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

test('the second owner is told who the first is, in one line', async () => {
  await using directory = await temporaryDirectory()
  await using holder = startHolder(directory.path)
  expect(await holder.said()).toBe('held')

  const refused = await lockDataDirectory(directory.path).then(
    () => '',
    (error) => error.message,
  )

  expect(refused).toContain(
    `${directory.path} is in use by another Outport (process ${holder.child.pid} on ${hostname()}`,
  )
  expect(refused).toMatch(/, since \d{4}-\d\d-\d\dT[\d:.]+Z\)$/)
  await using another = startHolder(directory.path)
  expect(await another.said()).toBe(refused)
})

test('a holder that is killed holds nothing any more', async () => {
  await using directory = await temporaryDirectory()
  for (let turn = 0; turn < 3; turn++) {
    await using holder = startHolder(directory.path)
    expect(await holder.said()).toBe('held')
    const exited = once(holder.child, 'exit')
    holder.child.kill('SIGKILL')
    await exited

    await using lock = await lockDataDirectory(directory.path)
    expect(lock.directory).toBe(directory.path)
    expect(JSON.parse(await readFile(join(directory.path, 'node.lock.json'), 'utf8')).pid).toBe(process.pid)
  }
})

test('a holder that gives up leaves the directory to the next one, in this process and in others', async () => {
  await using directory = await temporaryDirectory()
  const first = await lockDataDirectory(directory.path)
  await expect(lockDataDirectory(directory.path)).rejects.toThrow(`process ${process.pid} `)
  await first[Symbol.asyncDispose]()
  await first[Symbol.asyncDispose]()

  await using holder = startHolder(directory.path)
  expect(await holder.said()).toBe('held')
  holder.child.stdin.end()
  expect(await holder.said()).toBe('released')
  await using lock = await lockDataDirectory(directory.path)
  expect(lock).toBeDefined()
})

test('of many that start at once one gets it', async () => {
  await using directory = await temporaryDirectory()
  await using owned = new AsyncDisposableStack()
  const holders = Array.from({ length: 6 }, () => owned.use(startHolder(directory.path)))
  const said = await Promise.all(holders.map((holder) => holder.said()))

  expect(said.filter((line) => line === 'held')).toHaveLength(1)
  expect(said.filter((line) => line.includes('is in use by another Outport'))).toHaveLength(5)
})

test('an attempt of this process that is refused does not let the lock go', async () => {
  await using directory = await temporaryDirectory()
  await using lock = await lockDataDirectory(directory.path)
  // POSIX locks end when any descriptor of the file is closed in the process that holds them.
  await expect(lockDataDirectory(directory.path)).rejects.toThrow('in use')

  await using holder = startHolder(lock.directory)
  expect(await holder.said()).toContain('in use')
})

test('a note of nonsense, or none, is no obstacle', async () => {
  await using directory = await temporaryDirectory()
  const note = join(directory.path, 'node.lock.json')
  await writeFile(note, '{"pid":')
  await using lock = await lockDataDirectory(directory.path)
  for (const spoil of [() => writeFile(note, 'x'), () => rm(note)]) {
    await spoil()
    await expect(lockDataDirectory(lock.directory)).rejects.toThrow(/another Outport$/)
  }
})

test('the files are for this user only, and nothing else is left', async () => {
  await using directory = await temporaryDirectory()
  const lock = await lockDataDirectory(directory.path)
  for (const name of ['node.lock', 'node.lock.json']) {
    expect((await stat(join(directory.path, name))).mode & 0o777, name).toBe(0o600)
  }
  expect((await readdir(directory.path)).sort()).toEqual(['node.lock', 'node.lock.json'])
  await lock[Symbol.asyncDispose]()
  expect(await readdir(directory.path)).toEqual(['node.lock'])
})

test.skipIf(!canMount())('tmpfs: two owners are told apart there too', async () => {
  await using disk = await mountTmpfs('1m')
  await using holder = startHolder(disk.path)
  expect(await holder.said()).toBe('held')
  await expect(lockDataDirectory(disk.path)).rejects.toThrow(`process ${holder.child.pid} `)
})

test.skipIf(!canMount())('tmpfs: a full disk is no reason not to own it', async () => {
  await using disk = await mountTmpfs('1m')
  await (await lockDataDirectory(disk.path))[Symbol.asyncDispose]()
  await expect(writeFile(join(disk.path, 'ballast'), Buffer.alloc(2_000_000))).rejects.toThrow('ENOSPC')

  await using lock = await lockDataDirectory(disk.path)
  await expect(lockDataDirectory(lock.directory)).rejects.toThrow(/another Outport$/)
})
