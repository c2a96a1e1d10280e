import { describe, expect, test } from 'vitest'
import { createHolds } from '../../src/flow/holds.ts'
import { NoRoomError, openSpace, type SpaceRules } from '../../src/jobs/space.ts'
import type { HeldRow, StoredRow } from '../../src/metadata/metadata.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { type Pattern, parsePattern } from '../../src/oci/pattern.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'

const digest = (at: number): Digest => digestOf(Buffer.from(String(at)))
const repository = parseRepositoryName('team/app')
const rules: SpaceRules = { budget: 100, high: 0.9, low: 0.5, reserve: 0, pins: [] }

interface Home {
  rules?: Partial<SpaceRules>
  /** Rows of ten bytes that are there at the start, used at 1, 2, 3 … */
  rows?: number
  disk?: { totalBytes: number; freeBytes: number }
  inUse?: number[]
  /** Bytes. */
  leftovers?: number
}

async function home({ rules: own, rows = 0, disk, inUse = [], leftovers = 0 }: Home = {}) {
  const held = Array.from({ length: rows }, (_, at) => rowOf(at + 1))
  const removed: Digest[] = []
  const used = new Set(inUse.map(digest))
  const holds = createHolds<Digest>()
  const left = { bytes: leftovers }
  const idle = { bytes: 0 }
  const stored = {
    bytes: async () => held.reduce((sum, { size }) => sum + size, 0),
    leastUsed: async (after: StoredRow | undefined, limit: number) =>
      held.filter(({ usedAt }) => !after || usedAt > after.usedAt).slice(0, limit),
    held: async (digests: Iterable<Digest>) => {
      const wanted = new Set(digests)
      return held.filter((row) => wanted.has(row.digest)).map((row) => ({ ...row }))
    },
    remove: async (gone: readonly HeldRow[]) => {
      for (const { digest: of } of gone)
        held.splice(
          held.findIndex((row) => row.digest === of),
          1,
        )
    },
  }
  const usage = { isInUse: (of: Digest) => used.has(of), flush: async () => {} }
  const pins: Pattern[] = []
  const errors: unknown[] = []
  const hooks = { onRemove: async (_: Digest) => {}, giveBack: (_bytes: number, _landed: number) => {} }
  const state = disk ?? { totalBytes: 10_000, freeBytes: 9_000 }
  const space = await openSpace({
    stored,
    holds,
    leftovers: {
      get bytes() {
        return left.bytes
      },
      async drop(bytes) {
        const dropped = bytes > 0 ? left.bytes : 0
        left.bytes -= dropped
        return dropped
      },
    },
    idleUploads: () => ({
      bytes: idle.bytes,
      async drop() {
        const { bytes } = idle
        idle.bytes = 0
        hooks.giveBack(bytes, bytes)
        return bytes
      },
    }),
    blobs: {
      remove: async (of) => {
        await hooks.onRemove(of)
        removed.push(of)
      },
    },
    usage,
    pins: { patterns: () => pins },
    disk: async () => ({ ...state }),
    settings: { ...rules, ...own },
    onEvicted: () => {},
    onError: (error) => errors.push(error),
    now: () => 1000,
  })
  hooks.giveBack = space.giveBack
  return {
    ...space,
    idle,
    left: () => held.map(({ usedAt }) => usedAt),
    ...{ held, usage, removed, errors, hooks, holds, used, pins, stored, disk: state, leftovers: left },
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
  space.giveBack(40, 0)
  await space.take(40)
})

test('those who ask at once do not get more together than there is', async () => {
  await using space = await home()
  const asked = await Promise.allSettled([60, 60, 60].map((bytes) => space.take(bytes)))
  expect(asked.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
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

  test('of uploads that nobody goes on with, before anything that is stored', async () => {
    await using space = await home({ rows: 1, rules: { low: 0.7 } })
    space.found(50)
    await expect(space.take(70)).rejects.toMatchObject(full)
    space.idle.bytes = 50
    await space.take(50)
    expect([space.left(), space.idle.bytes]).toEqual([[1], 0])
    expect(space.state().bytes).toBe(60)
  })

  test('and not for what would not fit into all of it', async () => {
    await using space = await home({ rows: 9 })
    await expect(space.take(101)).rejects.toMatchObject(full)
    expect(space.removed).toEqual([])
  })

  test('by a round of its own as soon as the high mark is passed', async () => {
    await using space = await home({ rows: 8 })
    await space.take(15)
    space.held.push({ ...rowOf(99), size: 15 })
    space.giveBack(15, 0)
    space.kept(15)
    await expect.poll(space.left).toEqual([6, 7, 8, 99])
  })
})

test('many that come at once make room once', async () => {
  await using space = await home({ rows: 8, rules: { low: 0.7 } })
  space.hooks.onRemove = () => new Promise((resolve) => setTimeout(resolve, 2))
  for (let at = 11; at < 14; at += 1) {
    await space.take(4)
    space.held.push({ ...rowOf(at), size: 4 })
    space.giveBack(4, 0)
    space.kept(4)
  }
  await space.tidy()
  // 92 bytes were too many, and 70 are not.
  expect(space.left()).toEqual([4, 5, 6, 7, 8, 11, 12, 13])
})

test('a round goes no further when the rules that wanted it are others', async () => {
  await using space = await home({ rows: 9, rules: { budget: 1000 } })
  const { leastUsed } = space.stored
  space.stored.leastUsed = (after) => leastUsed(after, 1)
  space.hooks.onRemove = async (of) => {
    if (of === digest(2)) space.follow({ ...rules, budget: 1000 })
  }
  space.follow({ ...rules, budget: 95 })
  await expect.poll(space.left).toEqual([3, 4, 5, 6, 7, 8, 9])
  await space.tidy()
  expect(space.left()).toEqual([3, 4, 5, 6, 7, 8, 9])
})

test('a round ends, whatever is used meanwhile', async () => {
  await using space = await home({ rows: 9, rules: { pins: [() => true] } })
  for (const row of space.held) row.links.push({ repository, origin: 'filled' })
  const { leastUsed } = space.stored
  let pages = 0
  space.usage.flush = async () => {
    const hot = space.held.shift()
    if (hot) space.held.push({ ...hot, usedAt: 1000 + pages })
  }
  space.stored.leastUsed = (after, limit) => {
    pages += 1
    return leastUsed(after, limit)
  }
  await expect(space.take(20)).rejects.toMatchObject(full)
  expect(pages).toBeLessThan(4)
})

test('what is pinned is not walked through each time', async () => {
  await using space = await home({ rows: 9, rules: { budget: 60, pins: [parsePattern('team/**')] } })
  for (const row of space.held.slice(0, 3)) row.links.push({ repository, origin: 'filled' })
  const asked: (number | undefined)[] = []
  const { leastUsed } = space.stored
  space.stored.leastUsed = (after) => {
    asked.push(after?.usedAt)
    return leastUsed(after, 2)
  }
  await space.tidy()
  expect(space.left()).toEqual([1, 2, 3])
  asked.length = 0
  for (const at of [21, 22, 23]) space.held.push(rowOf(at))
  space.kept(30)
  await expect.poll(space.left).toEqual([1, 2, 3])
  expect(asked[0]).toBe(2)
})

describe('nothing goes', () => {
  test('that somebody begins to read while others go', async () => {
    await using space = await home({ rows: 9 })
    space.hooks.onRemove = async (of) => {
      if (of === digest(1)) space.used.add(digest(3))
    }
    await space.take(20)
    expect(space.left()).toEqual([3, 7, 8, 9])
  })

  test('that something is about to point to', async () => {
    await using space = await home({ rows: 9 })
    using _ = await space.holds.hold(digest(2))
    await space.take(20)
    expect(space.left()).toEqual([2, 8, 9])
  })

  test('that was used or pushed since it was looked for', async () => {
    await using space = await home({ rows: 9 })
    const { leastUsed } = space.stored
    space.stored.leastUsed = async (after, limit) => {
      const rows = (await leastUsed(after, limit)).map((row) => ({ ...row }))
      for (const row of space.held) {
        if (row.digest === digest(1)) row.usedAt = 99
        if (row.digest === digest(2)) row.links.push({ repository, origin: 'pushed' })
      }
      return rows
    }
    await space.take(20)
    expect(space.left()).toEqual([99, 2, 9])
  })

  test('once it is closed', async () => {
    const space = await home({ rows: 9 })
    space.hooks.onRemove = async (of) => {
      if (of === digest(2)) void space[Symbol.asyncDispose]()
    }
    await space.take(20).catch(() => {})
    expect(space.removed).toEqual([digest(1), digest(2)])
  })
})

describe('what is asked to be given up', () => {
  const none = async () => new Map<Digest, string>()
  const goneOf = (given: { gone: readonly HeldRow[] }) => given.gone.map(({ usedAt }) => usedAt)

  test('goes, however little room is needed, but for what somebody reads, holds or keeps', async () => {
    await using space = await home({ rows: 6, inUse: [2] })
    using _ = await space.holds.hold(digest(3))
    const reasons = async (rows: readonly HeldRow[]) => {
      expect(rows.map(({ usedAt }) => usedAt)).toEqual([1, 4, 5])
      return new Map([[digest(4), 'it is ours']])
    }
    const given = await space.giveUp([1, 2, 3, 4, 5, 77].map(digest), reasons, false)
    expect([goneOf(given), space.left()]).toEqual([
      [1, 5],
      [2, 3, 4, 6],
    ])
    expect([...given.stay].map(([of, { why }]) => [of, why])).toEqual([
      [digest(2), 'it is being read'],
      [digest(3), 'it is being fetched or pushed'],
      [digest(4), 'it is ours'],
    ])
  })

  test('is only told when it is asked for dryly', async () => {
    await using space = await home({ rows: 3 })
    expect(goneOf(await space.giveUp([1, 3].map(digest), none, true))).toEqual([1, 3])
    expect([space.left(), space.removed]).toEqual([[1, 2, 3], []])
  })

  test('stays when somebody begins to read it while others go, or its file cannot be removed', async () => {
    await using space = await home({ rows: 4 })
    space.hooks.onRemove = async (of) => {
      if (of === digest(1)) space.used.add(digest(2))
      if (of === digest(3)) throw new Error('not permitted')
    }
    const given = await space.giveUp([1, 2, 3, 4].map(digest), none, false)
    expect(goneOf(given)).toEqual([1, 4])
    expect([...given.stay.values()].map(({ why }) => why)).toEqual([
      'it is being read',
      'its file could not be removed',
    ])
  })

  test('takes its turn with rounds that make room, and what went is not counted any more', async () => {
    await using space = await home({ rows: 9 })
    const given = space.giveUp([1, 2, 3, 4, 5].map(digest), none, false)
    await space.take(20)
    expect(goneOf(await given)).toEqual([1, 2, 3, 4, 5])
    expect(space.left()).toEqual([6, 7, 8, 9])
  })
})

test('pins by command keep as those of the rules do, and hold when repinned resolves', async () => {
  await using space = await home({ rows: 9 })
  for (const row of space.held.slice(0, 3)) row.links.push({ repository, origin: 'filled' })
  space.pins.push(parsePattern('app'))
  await space.repinned()
  await space.take(20)
  expect(space.left()).toEqual([1, 2, 3])
})

test('who comes while it goes waits for that', async () => {
  await using space = await home({ rows: 9 })
  let held: Promise<unknown> | undefined
  space.hooks.onRemove = async (of) => {
    if (of === digest(1)) held = space.holds.hold(digest(4)).then(() => space.left())
  }
  await space.take(20)
  expect(await held).toEqual([7, 8, 9])
})

test('a file that cannot be removed is told of, and others go for it', async () => {
  await using space = await home({ rows: 9 })
  space.hooks.onRemove = async (of) => {
    if (of === digest(1)) throw new Error('not permitted')
  }
  await space.take(20)
  expect(space.left()).toEqual([1, 7, 8, 9])
  expect(space.errors).toEqual([new Error('not permitted')])
})

test('where nothing can be evicted, there is no room', async () => {
  await using space = await home({ rows: 9 })
  space.stored.remove = async () => {
    throw Object.assign(new Error('the disk is full'), { code: 'SQLITE_FULL' })
  }
  await expect(space.take(20)).rejects.toMatchObject(full)
})

describe('what is counted', () => {
  test('is corrected when it seems too much: a blob that comes again takes its room once', async () => {
    await using space = await home({ rows: 4 })
    for (let turn = 0; turn < 8; turn += 1) {
      await space.take(10)
      space.giveBack(10, 0)
      space.kept(10)
    }
    await space.take(50)
    expect(space.removed).toEqual([])
  })

  test('are manifests, too', async () => {
    await using space = await home()
    for (let at = 1; at <= 20; at += 1) space.held.push(rowOf(at))
    await space.tidy()
    expect(space.left()).toHaveLength(5)
  })

  test('is what fills have left, which goes first', async () => {
    await using space = await home({ rows: 4, leftovers: 55 })
    await space.take(6)
    expect([space.leftovers.bytes, space.left()]).toEqual([0, [1, 2, 3, 4]])
  })

  test('is what has landed once, with the disk', async () => {
    const disk = { totalBytes: 1000, freeBytes: 600 }
    await using space = await home({ rules: { budget: 10_000, reserve: 0.05 }, disk })
    await space.take(300)
    space.landed(290)
    space.disk.freeBytes -= 290
    await space.take(240)
    await expect(space.take(20)).rejects.toMatchObject(full)
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
