import { expect, test, vi } from 'vitest'
import { createScrub, type ScrubRules } from '../../src/jobs/scrub.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'

const digest = (text: string): Digest => digestOf(Buffer.from(text))
const rules: ScrubRules = { everyMs: 100, rate: 1e9 }

/** What is stored by when it was looked at last; time goes on by one with every look. */
function home(own: ScrubRules | false, texts: string[], bad: Record<string, 'rotten' | 'absent'> = {}) {
  let time = 1000
  const checkedAt = new Map(texts.map((text, at) => [digest(text), at]))
  const looked: string[] = []
  const healed: string[] = []
  const errors: unknown[] = []
  const read: number[] = []
  const nameOf = (of: Digest) => texts.find((text) => digest(text) === of) ?? ''
  const check = vi.fn(async (of: Digest, pace: (count: number) => Promise<void>) => {
    looked.push(nameOf(of))
    await pace(1000)
    return bad[nameOf(of)] ?? ('right' as const)
  })
  const heal = vi.fn(async (of: Digest) => void healed.push(nameOf(of)))
  const checked = vi.fn(async (digests: readonly Digest[], at: number) => {
    for (const of of digests) checkedAt.set(of, at)
  })
  const scrub = createScrub({
    stored: {
      longestUnchecked: async (before, limit) =>
        [...checkedAt]
          .filter(([, at]) => at < before)
          .sort(([, one], [, other]) => one - other)
          .map(([of]) => of)
          .slice(0, limit),
      checked,
    },
    blobs: { check },
    heal,
    rules: own,
    onRead: (count) => read.push(count),
    onError: (error) => errors.push(error),
    now: () => time++,
  })
  return {
    scrub,
    check,
    checked,
    heal,
    looked,
    healed,
    errors,
    read,
    later: (ms: number) => {
      time += ms
    },
    [Symbol.asyncDispose]: () => scrub[Symbol.asyncDispose](),
  }
}

test('all is looked at, the longest unseen first, and again when its time has come', async () => {
  await using site = home(rules, ['a', 'b', 'c'])
  await expect.poll(() => site.looked).toEqual(['a', 'b', 'c'])
  site.later(1000)
  await expect.poll(() => site.looked).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
  expect(site.healed).toEqual([])
})

test('what is not right is healed; what cannot be is told of, and the others have their turn', async () => {
  await using site = home(rules, ['a', 'b', 'c'], { a: 'rotten', c: 'absent' })
  site.heal.mockRejectedValueOnce(new Error('upstream is down'))
  site.check.mockImplementationOnce(async () => 'rotten')
  await expect.poll(() => site.healed).toEqual(['c'])
  expect(site.errors).toEqual([new Error('upstream is down')])
})

test('a disk that cannot be read is told of, and not given up', async () => {
  await using site = home({ ...rules, everyMs: 1 }, ['a'])
  site.check.mockRejectedValueOnce(new Error('EIO'))
  await expect.poll(() => site.looked.length).toBeGreaterThan(0)
  expect(site.errors).toEqual([new Error('EIO')])
})

test('nothing is looked at until the rules want it', async () => {
  await using site = home(false, ['a'])
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(site.looked).toEqual([])
  site.scrub.follow(rules)
  await expect.poll(() => site.looked).toEqual(['a'])
})

test('it ends in the middle of a blob', async () => {
  const site = home({ ...rules, rate: 1 }, ['a', 'b'])
  await expect.poll(() => site.looked).toEqual(['a'])
  await site.scrub[Symbol.asyncDispose]()
  expect(site.errors).toEqual([])
})

test('a small blob counts of the rate as more than its bytes, and what was read is told', async () => {
  await using site = home({ ...rules, rate: 1 }, ['a', 'b'])
  await expect.poll(() => site.read).toEqual([1000])
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(site.looked).toEqual(['a'])
})

test('what is right is noted together, what is not by itself', async () => {
  await using site = home(rules, ['a', 'b', 'c', 'd'], { b: 'rotten' })
  site.heal.mockRejectedValueOnce(new Error('upstream is down'))
  const noted = () => site.checked.mock.calls.map(([digests]) => digests.length)
  await expect.poll(noted).toEqual([1, 3])
})
