import { expect, test } from 'vitest'
import { createWriteGroups } from '../../src/metadata/write-groups.ts'

/** Commits when told to; `bad…` fails. */
function createDisk() {
  const groups: string[][] = []
  const gates: PromiseWithResolvers<void>[] = []
  let reached = Promise.withResolvers<void>()
  return {
    groups,
    async commit(writes: string[]) {
      groups.push(writes)
      const gate = Promise.withResolvers<void>()
      gates.push(gate)
      reached.resolve()
      await gate.promise
      return writes.map((write) => (write.startsWith('bad') ? new Error(write) : undefined))
    },
    async next(error?: Error) {
      await reached.promise
      reached = Promise.withResolvers<void>()
      const gate = gates.shift()
      if (error) gate?.reject(error)
      else gate?.resolve()
    },
  }
}

test('what comes during a commit goes together in the next one, in order', async () => {
  const disk = createDisk()
  const { add } = createWriteGroups(disk.commit)
  const first = add('a')
  await Promise.resolve()
  await Promise.resolve()
  const rest = ['b', 'c', 'd'].map(add)

  await disk.next()
  await first
  await disk.next()
  await Promise.all(rest)

  expect(disk.groups).toEqual([['a'], ['b', 'c', 'd']])
})

test('nothing resolves before its own commit', async () => {
  const disk = createDisk()
  const groups = createWriteGroups(disk.commit)
  let settled = false
  const write = groups.add('a').then(() => {
    settled = true
  })
  const all = groups.settled()
  await new Promise((resolve) => setImmediate(resolve))
  expect(settled).toBe(false)

  await disk.next()
  await Promise.all([write, all])
  expect(settled).toBe(true)
})

test('a write that fails rejects its own caller', async () => {
  const disk = createDisk()
  const { add } = createWriteGroups(disk.commit)
  const outcomes = Promise.allSettled(['a', 'bad one', 'c'].map(add))
  await disk.next()

  expect((await outcomes).map((each) => each.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})

test('a commit that fails rejects its group, and the next group goes on', async () => {
  const disk = createDisk()
  const { add } = createWriteGroups(disk.commit)
  const lost = add('a')
  const failing = expect(lost).rejects.toThrow('thread has ended')
  await disk.next(new Error('thread has ended'))
  await failing

  const kept = add('b')
  await disk.next()
  await kept
})

test('no group is larger than the bound', async () => {
  const disk = createDisk()
  const { add } = createWriteGroups(disk.commit, 2)
  const writes = Promise.all(['a', 'b', 'c', 'd', 'e'].map(add))
  for (let group = 0; group < 3; group++) await disk.next()
  await writes

  expect(disk.groups).toEqual([['a', 'b'], ['c', 'd'], ['e']])
})
