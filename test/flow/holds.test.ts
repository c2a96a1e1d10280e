import { expect, test } from 'vitest'
import { createHolds } from '../../src/flow/holds.ts'

test('what is held is not claimed, until the last hold is over', async () => {
  const holds = createHolds<string>()
  const [one, other] = await Promise.all([holds.hold('a'), holds.hold('a')])
  expect([...holds.claim(['a', 'b']).keys]).toEqual(['b'])
  one[Symbol.dispose]()
  one[Symbol.dispose]()
  expect([...holds.claim(['a']).keys]).toEqual([])
  other[Symbol.dispose]()
  expect([...holds.claim(['a']).keys]).toEqual(['a'])
})

test('what is claimed is nobody else’s, and is waited for', async () => {
  const holds = createHolds<string>()
  const order: string[] = []
  const first = holds.claim(['a'])
  expect([...holds.claim(['a']).keys]).toEqual([])
  const held = holds.hold('a').then(() => order.push('held'))
  await holds.hold('b')
  order.push('gone')
  first[Symbol.dispose]()
  const second = holds.claim(['a'])
  await Promise.race([held, holds.hold('b')])
  second[Symbol.dispose]()
  await held
  expect(order).toEqual(['gone', 'held'])
  expect([...holds.claim(['a']).keys]).toEqual([])
})
