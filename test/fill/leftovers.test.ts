import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findLeftovers } from '../../src/fill/leftovers.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function folderWith(...ages: number[]) {
  const folder = await temporaryDirectory()
  const leave = async (id: string, age = 0) => {
    const part = join(folder.path, `${id}.part`)
    await writeFile(part, Buffer.alloc(8192))
    await writeFile(join(folder.path, `${id}.marks`), 'marks')
    await utimes(part, 1000 - age, 1000 - age)
  }
  for (const age of ages) await leave(`id${age}`, age)
  return { ...folder, leave, names: async () => (await readdir(folder.path)).sort() }
}

test('what is left is counted, and the oldest goes first, with all that belongs to it', async () => {
  await using folder = await folderWith(1, 3, 2)
  await mkdir(join(folder.path, 'no.file'))
  const leftovers = await findLeftovers(folder.path)
  expect(leftovers.bytes).toBe(3 * 8192)

  expect(await leftovers.drop(8193, Number.NEGATIVE_INFINITY)).toBe(2 * 8192)

  expect(await folder.names()).toEqual(['id1.marks', 'id1.part', 'no.file'])
  expect(leftovers.bytes).toBe(8192)
})

test('what was left too long ago goes though there is room', async () => {
  await using folder = await folderWith(1, 3, 2)
  const leftovers = await findLeftovers(folder.path)
  expect(await leftovers.drop(0, (1000 - 2.5) * 1000)).toBe(8192)
  expect(await folder.names()).toEqual(['id1.marks', 'id1.part', 'id2.marks', 'id2.part'])
})

test('an old one goes that a younger one stands before', async () => {
  await using folder = await folderWith(1)
  const leftovers = await findLeftovers(folder.path)
  await folder.leave('id9', 9)
  await leftovers.leave('id9')
  expect(await leftovers.drop(0, (1000 - 5) * 1000)).toBe(8192)
  expect(await folder.names()).toEqual(['id1.marks', 'id1.part'])
})

test('one that cannot be removed is counted, and others go for it', async () => {
  await using folder = await folderWith(1, 2)
  await rm(join(folder.path, 'id2.part'))
  await mkdir(join(folder.path, 'id2.part', 'in the way'), { recursive: true })
  const leftovers = await findLeftovers(folder.path)
  const { bytes } = leftovers
  expect(await leftovers.drop(1, Number.NEGATIVE_INFINITY)).toBeGreaterThan(0)
  expect(leftovers.bytes).toBeLessThan(bytes)
  await leftovers.takeUp('id2')
})

test('what a fill goes on from is its own until it leaves it', async () => {
  await using folder = await folderWith(1, 2)
  const leftovers = await findLeftovers(folder.path)
  await leftovers.takeUp('id2')
  expect(leftovers.bytes).toBe(2 * 8192)
  await leftovers.drop(1_000_000, Number.NEGATIVE_INFINITY)
  expect(await folder.names()).toEqual(['id2.marks', 'id2.part'])

  await leftovers.leave('id2')
  await leftovers.leave('nothing')
  expect(leftovers.bytes).toBe(8192)
  await leftovers.takeUp('id2')
  await rm(join(folder.path, 'id2.part'))
  await leftovers.leave('id2')
  expect(leftovers.bytes).toBe(0)
})

test('a fill that begins while its file is being dropped begins when it has gone', async () => {
  await using folder = await folderWith(1)
  const leftovers = await findLeftovers(folder.path)
  const dropping = leftovers.drop(1, Number.NEGATIVE_INFINITY)
  await leftovers.takeUp('id1')
  expect(await folder.names()).toEqual([])
  expect([await dropping, leftovers.bytes]).toEqual([8192, 0])
})
