import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { createLanes } from '../../src/flow/lanes.ts'

/** Lanes whose work ends when the test says so. */
function workshop(options: { width: number; depth: number }) {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const lanes = createLanes<string>({
    ...options,
    run: (task) => {
      begun.push(task)
      return new Promise((resolve) => ends.set(task, resolve))
    },
  })
  return {
    begun,
    add: (lane: string, task: string) => lanes.add(lane, task, task),
    remove: (lane: string, which: (task: string) => boolean) => lanes.remove(lane, which),
    async end(task: string) {
      ends.get(task)?.()
      await turn()
    },
  }
}

describe('a lane', () => {
  test('does its work in order, so much at a time, whatever the others do', async () => {
    const shop = workshop({ width: 2, depth: 9 })
    for (const task of ['a', 'b', 'c', 'd']) expect(shop.add('one', task)).toBe(true)
    shop.add('two', 'x')
    expect(shop.begun).toEqual(['a', 'b', 'x'])
    await shop.end('b')
    expect(shop.begun).toEqual(['a', 'b', 'x', 'c'])
    await shop.end('a')
    expect(shop.begun).toEqual(['a', 'b', 'x', 'c', 'd'])
  })

  test('does not do twice what waits or is under way, but again what is done', async () => {
    const shop = workshop({ width: 1, depth: 9 })
    for (const task of ['a', 'b', 'a', 'b']) expect(shop.add('one', task)).toBe(true)
    await shop.end('a')
    await shop.end('b')
    expect(shop.begun).toEqual(['a', 'b'])
    shop.add('one', 'a')
    expect(shop.begun).toEqual(['a', 'b', 'a'])
  })

  test('takes no more than so many who wait', () => {
    const shop = workshop({ width: 1, depth: 2 })
    expect(['a', 'b', 'c', 'd'].map((task) => shop.add('one', task))).toEqual([true, true, true, false])
  })

  test('lets go of what has not begun', async () => {
    const shop = workshop({ width: 1, depth: 9 })
    for (const task of ['a', 'b', 'c', 'd']) shop.add('one', task)
    expect(shop.remove('one', (task) => task < 'd')).toEqual(['b', 'c'])
    expect(shop.remove('two', () => true)).toEqual([])
    await shop.end('a')
    expect(shop.begun).toEqual(['a', 'd'])
  })
})
