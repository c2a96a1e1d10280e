import { describe, expect, test, vi } from 'vitest'
import {
  type BufferPool,
  type BufferSize,
  createBufferPool,
  type LentBuffer,
} from '../../src/http/buffers.ts'

const small = 64 * 1024
const large = 1024 * 1024

/** Buffers that are lent at once; the others wait. */
async function lentAtOnce(lending: Promise<LentBuffer>[]): Promise<LentBuffer[]> {
  const lent: LentBuffer[] = []
  for (const each of lending) each.then((buffer) => lent.push(buffer))
  await new Promise((resolve) => setImmediate(resolve))
  return lent
}

function ask(
  pool: ReturnType<typeof createBufferPool>,
  count: number,
  holder: string,
  size: BufferSize = 'small',
) {
  return Array.from({ length: count }, () => pool.lend(size, holder))
}

test('no more is lent than there is, and who waits gets what is given back', async () => {
  const pool = createBufferPool(4 * small)
  const asked = ['a', 'b', 'c', 'd', 'e'].flatMap((holder) => ask(pool, 1, holder))
  const lent = await lentAtOnce(asked)
  expect(lent).toHaveLength(4)
  lent[0]?.giveBack()
  expect((await Promise.all(asked)).map(({ buffer }) => buffer.length)).toEqual(Array(5).fill(small))
})

test('one holder gets three quarters of it at most, and holds up no other', async () => {
  const pool = createBufferPool(8 * small)
  expect(await lentAtOnce(ask(pool, 20, 'greedy'))).toHaveLength(6)
  expect(await lentAtOnce(ask(pool, 2, 'modest'))).toHaveLength(2)
})

test('large ones are lent while there is plenty, and small ones else', async () => {
  const pool = createBufferPool(8 * large)
  const lent = await lentAtOnce(['a', 'b', 'c', 'd'].flatMap((holder) => ask(pool, 1, holder, 'large')))
  expect(lent.map(({ buffer }) => buffer.length)).toEqual([large, large, small, small])
})

test('a holder of all the large ones is lent small ones beside them', async () => {
  const pool = createBufferPool(8 * large)
  await lentAtOnce(ask(pool, 2, 'a', 'large'))
  expect(await lentAtOnce(ask(pool, 80, 'a', 'large'))).toHaveLength(64)
})

test('even a pool that is smaller than a buffer lends one at a time', async () => {
  const pool = createBufferPool(1)
  const asked = ask(pool, 3, 'a')
  for (const each of asked) (await each).giveBack()
  expect(await lentAtOnce(ask(pool, 2, 'b'))).toHaveLength(1)
})

describe('what a crowd has given back', () => {
  async function crowd(pool: BufferPool): Promise<Set<Buffer>> {
    const lent = await Promise.all(ask(pool, 300, 'a'))
    for (const each of lent) each.giveBack()
    return new Set(lent.map(({ buffer }) => buffer))
  }

  test('is lent again', async () => {
    const pool = createBufferPool(1000 * small)
    const first = await crowd(pool)
    expect(first.size).toBe(300)
    expect(await crowd(pool)).toEqual(first)
  })

  test('goes when nobody has wanted it for a while, also while others are in use', async () => {
    vi.useFakeTimers()
    const pool = createBufferPool(1000 * small)
    const [held] = await Promise.all(ask(pool, 1, 'b'))
    const first = await crowd(pool)
    vi.advanceTimersByTime(4_999)
    expect(await crowd(pool)).toEqual(first)
    vi.advanceTimersByTime(15_000)
    expect((await crowd(pool)).isDisjointFrom(first)).toBe(true)
    held?.giveBack()
    vi.advanceTimersByTime(60_000)
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
  })

  test('stays as far as it is wanted', async () => {
    vi.useFakeTimers()
    const pool = createBufferPool(1000 * small)
    const first = await crowd(pool)
    for (let second = 0; second < 20; second++) {
      vi.advanceTimersByTime(1_000)
      const lent = await Promise.all(ask(pool, 10, 'a'))
      expect(lent.every(({ buffer }) => first.has(buffer))).toBe(true)
      for (const each of lent) each.giveBack()
    }
    vi.useRealTimers()
  })
})
