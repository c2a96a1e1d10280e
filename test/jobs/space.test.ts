import { describe, expect, test } from 'vitest'
import { NoRoomError, openSpace, type SpaceRules } from '../../src/jobs/space.ts'
import type { HeldRow, StoredRow } from '../../src/metadata/metadata.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'

const digest = (at: number): Digest => digestOf(Buffer.from(String(at)))
const rules: SpaceRules = { budget: 100, high: 0.9, low: 0.5, reserve: 0, pins: [] }

interface Home {
  rules?: Partial<SpaceRules>
  /** Rows of ten bytes that are there at the start, used at 1, 2, 3 … */
  rows?: number
  disk?: { totalBytes: number; freeBytes: number }
  inUse?: number[]
}

async function home({ rules: own, rows = 0, disk, inUse = [] }: Home = {}) {
  const held = Array.from({ length: rows }, (_, at) => rowOf(at + 1))
  const removed: Digest[] = []
  const used = new Set(inUse.map(digest))
  const stored = {
    reconcile: async () => {},
    bytes: async () => held.reduce((sum, { size }) => sum + size, 0),
    put: async (row: StoredRow) => void held.push({ ...row, links: [] }),
    touch: async () => {},
    leastUsed: async (after: StoredRow | undefined, limit: number) =>
      held.filter(({ usedAt }) => !after || usedAt > after.usedAt).slice(0, limit),
    remove: async (gone: readonly HeldRow[]) => {
      for (const { digest: of } of gone)
        held.splice(
          held.findIndex((row) => row.digest === of),
          1,
        )
    },
  }
  const space = await openSpace({
    stored,
    blobs: { remove: async (of) => void removed.push(of) },
    usage: { isInUse: (of) => used.has(of), flush: async () => {} },
    disk: async () => disk ?? { totalBytes: 10_000, freeBytes: 9_000 },
    settings: { ...rules, ...own },
    onEvicted: () => {},
    onError: (error) => {
      throw error
    },
    now: () => 1000,
  })
  return {
    ...space,
    left: () => held.map(({ usedAt }) => usedAt),
    removed,
    [Symbol.asyncDispose]: () => space[Symbol.asyncDispose](),
  }
}

function rowOf(at: number): HeldRow {
  return { digest: digest(at), size: 10, usedAt: at, links: [] }
}

const full = { code: 'ENOSPC', name: 'NoRoomError' }

test('what fits is given, up to the budget and no byte more', async () => {
  await using space = await home()
  await space.take(60)
  await space.take(40)
  await expect(space.take(1)).rejects.toMatchObject(full)
  space.giveBack(40)
  await space.take(40)
})

test('those who ask at once do not get more together than there is', async () => {
  await using space = await home()
  const asked = await Promise.allSettled([60, 60, 60].map((bytes) => space.take(bytes)))
  const given = asked.filter(({ status }) => status === 'fulfilled').length
  expect(given).toBeLessThanOrEqual(1)
  if (given === 0) await space.take(60)
  await expect(space.take(60)).rejects.toBeInstanceOf(NoRoomError)
})

describe('room is made', () => {
  test('down to the low mark, the longest unused first', async () => {
    await using space = await home({ rows: 9 })
    await space.take(20)
    expect(space.left()).toEqual([7, 8, 9])
  })

  test('and not of what is in use', async () => {
    await using space = await home({ rows: 9, inUse: [1, 3] })
    await space.take(20)
    expect(space.left()).toEqual([1, 3, 9])
  })

  test('and what cannot be made is refused, with all that may stay', async () => {
    await using space = await home({ rows: 9, inUse: [1, 2, 3, 4, 5, 6, 7, 8, 9] })
    await expect(space.take(20)).rejects.toMatchObject(full)
    expect(space.left()).toHaveLength(9)
  })

  test('and not for what would not fit into all of it', async () => {
    await using space = await home({ rows: 9 })
    await expect(space.take(101)).rejects.toMatchObject(full)
    expect(space.removed).toEqual([])
  })

  test('by a round of its own as soon as the high mark is passed', async () => {
    await using space = await home({ rows: 8 })
    await space.take(15)
    space.kept(digest(99), 15)
    await expect.poll(space.left).toEqual([6, 7, 8, 1000])
  })
})

describe('the reserve of the disk', () => {
  const disk = { totalBytes: 1000, freeBytes: 60 }

  test('is not taken', async () => {
    await using space = await home({ rules: { budget: 10_000, reserve: 0.05 }, disk })
    await space.take(10)
    await expect(space.take(1)).rejects.toMatchObject(full)
  })

  test('that others have taken is not won back by giving up all there is', async () => {
    await using space = await home({ rules: { budget: 10_000, reserve: 0.5 }, rows: 9, disk })
    await space.tidy()
    expect(space.removed).toEqual([])
  })
})

test('what was not used for long goes although there is room', async () => {
  await using space = await home({ rows: 3, rules: { budget: 10_000, maxAgeMs: 998 }, inUse: [1] })
  await space.tidy()
  expect(space.left()).toEqual([1, 2, 3])
  space.follow({ ...rules, budget: 10_000, maxAgeMs: 997 })
  await expect.poll(space.left).toEqual([1, 3])
})
