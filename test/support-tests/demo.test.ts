import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createJournal, plainEnvironment, startNode } from '../support/node-process.ts'

const demo = join(import.meta.dirname, '../../bench/demo/main.ts')

test('the demo holds what it shows, on a machine that has no other client', {
  timeout: 150_000,
}, async () => {
  const journal = createJournal()
  const { exited } = await startNode([demo], { ...plainEnvironment(), PATH: '/nowhere' }, journal)

  expect(await exited, journal.text()).toEqual({ code: 0, signal: null })
  expect(journal.text()).toContain('our own pulling client')
  expect(journal.text()).toMatch(/^10 clients at once.* 16\.0 MiB = 1\.00×\s+yes$/m)
  expect(journal.text()).toMatch(/^a pull with the upstream cut off.*cut off\s+yes$/m)
})
