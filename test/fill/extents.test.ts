import { createHash } from 'node:crypto'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { appendExtents, createFrontier, extentBytes, recoverFrontier } from '../../src/fill/extents.ts'
import { digestOf, hexOf } from '../../src/oci/digest.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const bytes = pseudoRandomBytes(3 * extentBytes + 1000, 'extents')
const digest = digestOf(bytes)
const hexOfExtent = (index: number) =>
  createHash('sha256')
    .update(bytes.subarray(index * extentBytes, (index + 1) * extentBytes))
    .digest('hex')

/** A part of `length` bytes beside lines for `extents` extents, each perhaps spoilt. */
async function recovered(spoil: {
  length: number
  extents: number
  part?: (bytes: Buffer) => void
  lines?: (lines: string[]) => void
  statedSize?: number
}) {
  await using folder = await temporaryDirectory()
  const [part, extents] = [join(folder.path, 'x.part'), join(folder.path, 'x.extents')]
  const kept = Buffer.from(bytes.subarray(0, spoil.length))
  spoil.part?.(kept)
  const lines = Array.from({ length: spoil.extents }, (_, index) => hexOfExtent(index))
  spoil.lines?.(lines)
  await writeFile(part, kept)
  await writeFile(extents, lines.map((line) => `${line}\n`).join(''))
  await using handle = await open(part, 'r+')
  const frontier = await recoverFrontier(handle, extents, digest, spoil.statedSize)
  const left = {
    part: (await handle.stat()).size,
    lines: (await readFile(extents, 'utf8')).split('\n').length - 1,
  }
  return { frontier, left }
}

test('a frontier hashes the whole and its extents, however the bytes come', () => {
  const frontier = createFrontier(digest)
  for (let at = 0; at < bytes.length; at += 700_001) frontier.update(bytes.subarray(at, at + 700_001))
  expect(frontier.offset).toBe(bytes.length)
  expect(frontier.digestHex()).toBe(hexOf(digest))
  expect(frontier.takeFinished()).toEqual([0, 1, 2, 3].map(hexOfExtent))
  expect(frontier.takeFinished()).toEqual([])
})

test.each([
  ['data newer than its extents', { length: 3 * extentBytes + 10, extents: 2 }, 2],
  ['extents newer than their data', { length: extentBytes + 10, extents: 3 }, 1],
  ['both in step', { length: 3 * extentBytes + 1, extents: 3 }, 3],
  ['both in step to an end that nobody states', { length: 3 * extentBytes, extents: 3 }, 2],
  ['nothing', { length: 0, extents: 0 }, 0],
  ['data alone', { length: 2 * extentBytes, extents: 0 }, 0],
  [
    'a lost page',
    {
      length: 3 * extentBytes,
      extents: 3,
      part: (part: Buffer) => part.fill(0, extentBytes, extentBytes + 4096),
    },
    1,
  ],
  [
    'a half line',
    { length: 3 * extentBytes, extents: 3, lines: (lines: string[]) => lines.splice(1, 2, 'abc') },
    1,
  ],
  [
    'the end of the blob, which upstream has to confirm',
    { length: 3 * extentBytes, extents: 3, statedSize: 3 * extentBytes },
    2,
  ],
])('after %s, what can be proven is kept', async (_, spoilt, believed) => {
  const { frontier, left } = await recovered(spoilt)
  expect(frontier.offset).toBe(believed * extentBytes)
  expect(left).toEqual({ part: believed * extentBytes, lines: believed })
  frontier.update(bytes.subarray(frontier.offset))
  expect(frontier.digestHex()).toBe(hexOf(digest))
})

test('extents are appended a line each', async () => {
  await using folder = await temporaryDirectory()
  const file = join(folder.path, 'x.extents')
  await appendExtents(file, ['a', 'b'])
  await appendExtents(file, [])
  await appendExtents(file, ['c'])
  expect(await readFile(file, 'utf8')).toBe('a\nb\nc\n')
})
