import { expect, test, vi } from 'vitest'
import { createUsage } from '../../src/jobs/usage.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'

const digest = (text: string): Digest => digestOf(Buffer.from(text))

function collecting() {
  const written: [Digest, number][][] = []
  const errors: unknown[] = []
  let time = 0
  const touch = vi.fn(
    async (uses: Iterable<readonly [Digest, number]>) =>
      void written.push([...uses].map(([of, at]) => [of, at])),
  )
  const usage = createUsage({ stored: { touch }, onError: (error) => errors.push(error), now: () => ++time })
  return { usage, written, errors, touch }
}

test('uses are written together, each digest once with its last time', async () => {
  const { usage, written } = collecting()
  await using _ = usage
  usage.used(digest('a'))
  usage.used(digest('b'))
  usage.used(digest('a'))
  await usage.flush()
  await usage.flush()
  expect(written).toEqual([
    [
      [digest('a'), 3],
      [digest('b'), 2],
    ],
  ])
})

test('they are written now and then, and at the end', async () => {
  vi.useFakeTimers()
  const { usage, written } = collecting()
  usage.used(digest('a'))
  await vi.advanceTimersByTimeAsync(10_000)
  expect(written).toHaveLength(1)
  usage.used(digest('b'))
  await usage[Symbol.asyncDispose]()
  expect(written[1]).toEqual([[digest('b'), 2]])
  await vi.advanceTimersByTimeAsync(60_000)
  expect(written).toHaveLength(2)
  vi.useRealTimers()
})

test('what is read is in use until its last reader has left', async () => {
  const { usage } = collecting()
  await using _ = usage
  const [one, other] = [usage.reading(digest('a')), usage.reading(digest('a'))]
  await usage.flush()
  one[Symbol.dispose]()
  one[Symbol.dispose]()
  await usage.flush()
  expect(usage.isInUse(digest('a'))).toBe(true)
  other[Symbol.dispose]()
  await usage.flush()
  expect(usage.isInUse(digest('a'))).toBe(false)
})

test('uses that cannot be written are told of, and written with the next', async () => {
  const { usage, errors, touch, written } = collecting()
  await using _ = usage
  touch.mockRejectedValueOnce(new Error('full'))
  usage.used(digest('a'))
  await usage.flush()
  expect(errors).toEqual([new Error('full')])
  expect(usage.isInUse(digest('a'))).toBe(true)
  usage.used(digest('b'))
  await usage.flush()
  expect(written).toEqual([
    [
      [digest('a'), 1],
      [digest('b'), 2],
    ],
  ])
})

test('very many that cannot be written are forgotten', async () => {
  const { usage, touch } = collecting()
  await using _ = usage
  touch.mockRejectedValueOnce(new Error('full'))
  for (let at = 0; at < 6_000; at++) usage.used(digest(String(at)))
  await usage.flush()
  await usage.flush()
  expect(touch).toHaveBeenCalledTimes(1)
})

test('who watches hears of every use meanwhile, written or not', async () => {
  const { usage } = collecting()
  await using _ = usage
  usage.used(digest('before'))
  using uses = usage.watch()
  usage.used(digest('a'))
  usage.reading(digest('b'))[Symbol.dispose]()
  await usage.flush()
  expect(['before', 'a', 'b'].map((each) => uses.has(digest(each)))).toEqual([false, true, true])
})

test('what is being written is in use until it is, also for who asks to have it written meanwhile', async () => {
  const { usage, written, touch } = collecting()
  await using _ = usage
  const { promise: gate, resolve } = Promise.withResolvers<void>()
  touch.mockImplementationOnce(async (uses) => {
    await gate
    written.push([...uses].map(([of, at]) => [of, at]))
  })
  usage.used(digest('a'))
  const first = usage.flush()
  let isOver = false
  const second = usage.flush().then(() => {
    isOver = true
  })
  await new Promise((settled) => setImmediate(settled))
  expect([usage.isInUse(digest('a')), isOver]).toEqual([true, false])
  resolve()
  await Promise.all([first, second])
  expect([usage.isInUse(digest('a')), written.length]).toEqual([false, 1])
})
