import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { extentBytes, extentsOf, offsetOfLine } from '../../src/blobs/extents.ts'
import { openPart, type Part } from '../../src/fill/part.ts'
import { digestOf, hexOf } from '../../src/oci/digest.ts'
import { extentsWith } from '../support/extents.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const bytes = pseudoRandomBytes(12 * extentBytes + 1000, 'part')
const digest = digestOf(bytes)

const room = { take: async () => {}, landed() {}, giveBack() {}, kept() {} }
const loans = { take: () => false, giveBack() {} }

async function files() {
  const folder = await temporaryDirectory()
  const [file, marks] = [join(folder.path, 'x.part'), join(folder.path, 'x.marks')]
  const open = (statedSize?: number) =>
    openPart({
      digest,
      file,
      marks,
      room,
      loans,
      spoilt: async () => undefined,
      sync: true,
      ...(statedSize !== undefined && { statedSize }),
    })
  return { file, marks, open, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

async function write(part: Part, start: number, end: number): Promise<void> {
  for (let at = start; at < end; at += 100_000) {
    const piece = bytes.subarray(at, Math.min(end, at + 100_000))
    await part.write(at, [piece.subarray(0, 10), piece.subarray(10)], piece.length)
  }
}

async function leave(part: Part): Promise<void> {
  await part.end()
  await part.handle?.close()
}

test('a part that is written in any order has the digest of the whole and the tags of its extents', async () => {
  await using part = await files()
  const grown = await part.open(bytes.length)
  await write(grown, 2 * extentBytes + 5, bytes.length)
  await write(grown, 777_777, 2 * extentBytes + 5)
  await write(grown, 0, 777_777)
  expect(grown.coverage.bytes).toBe(bytes.length)
  expect(await grown.digestHex()).toBe(hexOf(digest))

  const extents = extentsOf(await readFile((await grown.seal()) ?? '', 'utf8'))

  expect(extents).toEqual(extentsWith(bytes, extents?.key))
  await leave(grown)
})

describe('after a kill a part is believed', () => {
  const killed = async (
    damage: (names: { file: string; marks: string }) => Promise<void>,
    to = 9 * extentBytes + 5,
  ) => {
    await using part = await files()
    const before = await part.open(bytes.length)
    await write(before, 0, to)
    await leave(before)
    await damage(part)
    const after = await part.open(bytes.length)
    const believed = after.coverage.endFrom(0)
    await write(after, believed, bytes.length)
    expect(await after.digestHex()).toBe(hexOf(digest))
    await leave(after)
    return believed / extentBytes
  }

  test('to the last mark', async () => {
    expect(await killed(async () => {})).toBe(9)
  })
  test('never to its end', async () => {
    expect(await killed(async () => {}, bytes.length)).toBe(12)
    await using part = await files()
    const before = await part.open(8 * extentBytes)
    await write(before, 0, 8 * extentBytes)
    await leave(before)
    const after = await part.open(8 * extentBytes)
    expect(after.coverage.bytes).toBe(7 * extentBytes)
    await leave(after)
  })
  test('as far as its data reach', async () => {
    expect(await killed(({ file }) => truncate(file, 5 * extentBytes + 7))).toBe(5)
  })
  test('as far as its marks reach', async () => {
    expect(await killed(({ marks }) => truncate(marks, offsetOfLine(3)))).toBe(3)
  })
  test('up to a page that was lost', async () => {
    const lose = async ({ file }: { file: string }) => {
      const kept = await readFile(file)
      kept.fill(0, 6 * extentBytes + 100, 6 * extentBytes + 4196)
      await writeFile(file, kept)
    }
    expect(await killed(lose)).toBe(6)
  })
  test('not at all without marks', async () => {
    expect(await killed(({ marks }) => writeFile(marks, ''))).toBe(0)
  })
  test('not at all with garbled ones', async () => {
    expect(await killed(({ marks }) => writeFile(marks, 'g'.repeat(2000)))).toBe(0)
  })
  test('although it was about to be a blob', async () => {
    await using part = await files()
    const before = await part.open(bytes.length)
    await write(before, 0, bytes.length)
    await before.digestHex()
    await before.seal()
    await leave(before)
    const after = await part.open(bytes.length)
    expect(after.coverage.bytes).toBe(12 * extentBytes)
    await leave(after)
  })
  test('in its middle', async () => {
    await using part = await files()
    const before = await part.open(bytes.length)
    await write(before, extentBytes, 2 * extentBytes)
    await leave(before)
    const after = await part.open(bytes.length)
    expect(after.coverage.gapFrom(0, bytes.length)).toEqual({ start: 0, end: extentBytes })
    expect(after.coverage.endFrom(extentBytes)).toBe(2 * extentBytes)
    await write(after, 0, extentBytes)
    await write(after, 2 * extentBytes, bytes.length)
    expect(await after.digestHex()).toBe(hexOf(digest))
    await leave(after)
  })
})

test('the first marks of connections side by side go into one file', async () => {
  await using part = await files()
  const grown = await part.open(bytes.length)
  await Promise.all([0, 4, 8].map((extent) => write(grown, extent * extentBytes, (extent + 4) * extentBytes)))
  await leave(grown)
  const after = await part.open(bytes.length)
  expect(after.coverage.bytes).toBe(12 * extentBytes)
  await leave(after)
})
