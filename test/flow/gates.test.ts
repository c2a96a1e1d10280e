import { expect, test } from 'vitest'
import { createGates } from '../../src/flow/gates.ts'

function enter(gates: ReturnType<typeof createGates<string>>, how: 'share' | 'close', key = 'key') {
  const entry: { inside?: Disposable } = {}
  const entered = gates[how](key).then((inside) => {
    entry.inside = inside
  })
  return { entry, entered, leave: () => entry.inside?.[Symbol.dispose]() }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('many share, one is alone, and nobody overtakes', async () => {
  const gates = createGates<string>()
  const [first, second] = [enter(gates, 'share'), enter(gates, 'share')]
  const alone = enter(gates, 'close')
  const later = enter(gates, 'share')
  const last = enter(gates, 'close')
  await turn()
  expect([first, second, alone, later, last].map(({ entry }) => entry.inside !== undefined)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
  first.leave()
  first.leave()
  await turn()
  expect(alone.entry.inside).toBeUndefined()
  second.leave()
  await alone.entered
  await turn()
  expect(later.entry.inside).toBeUndefined()
  alone.leave()
  await later.entered
  await turn()
  expect(last.entry.inside).toBeUndefined()
  later.leave()
  await last.entered
})

test('other keys are other gates', async () => {
  const gates = createGates<string>()
  using _one = await gates.close('one')
  using _other = await gates.close('other')
})
