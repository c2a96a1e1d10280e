import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createJournal, type Exit, plainEnvironment, startNode } from '../support/node-process.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { describeWith } from '../support/tools.ts'

const program = join(import.meta.dirname, '../../bench/main.ts')

interface Ended extends Exit {
  said: string
}

async function bench(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const journal = createJournal()
  const child = await startNode([program, ...args], { ...environment(), ...env }, journal)
  onTestFinished(async () => void (await child.end('SIGTERM')))
  const { code, signal } = await child.exited
  return { code, signal, said: journal.text() }
}

function environment(): Record<string, string> {
  const { OUTPORT_TOOLS } = process.env
  return { ...plainEnvironment(), ...(OUTPORT_TOOLS !== undefined && { OUTPORT_TOOLS }) }
}

test('without a question it lists the questions', async () => {
  const { code, said } = await bench([])

  expect(code, said).toBe(0)
  for (const question of ['hot-blob', 'cold-clients', 'start', 'hot-manifest', 'mirror'])
    expect(said).toMatch(new RegExp(`^ {2}${question} +\\S`, 'm'))
})

test('an unknown question, a wrong number and a peer without a command are refused in one line', async () => {
  for (const args of [
    ['warm-blob'],
    ['hot-blob', '--runs', '0'],
    ['hot-blob', '--peer', 'zot'],
    ['mirror', '--only', '1,99'],
  ]) {
    const { code, said } = await bench(args)

    expect(code, said).toBe(1)
    expect(said).toMatch(/^bench: .*(warm-blob|--runs 0|--peer "zot"|--only 1,99).*$/)
  }
})

test('what is missing is named', async () => {
  const { code, said } = await bench(['hot-blob'], { PATH: '/nowhere', OUTPORT_TOOLS: '/nowhere' })

  expect(code, said).toBe(1)
  expect(said).toMatch(/^bench: .* not here: no program "(curl|registry)" in \/nowhere\/bin or on the PATH$/m)
})

test('mirror asks the parts that are named, of Outport alone', { timeout: 180_000 }, async () => {
  await using folder = await temporaryDirectory()
  const json = join(folder.path, 'result.json')
  const little = ['--only', '1,3,9', '--alone', '--quick', '--size', '1MiB']
  const { code, said } = await bench(['mirror', ...little, '--rounds', '2', '--json', json])

  expect(code, said).toBe(0)
  expect(said).toMatch(/^ +required +holds +outport +zot \*$/m)
  for (const part of [1, 3, 9]) expect(said).toMatch(new RegExp(`^${part}\\. \\S`, 'm'))
  expect(said).not.toMatch(/^(2|4|10)\. /m)
  expect(said).not.toContain('No figures')
  expect(said).toMatch(/^ {2}from upstream, × blob +≤ 1\.01 +yes +1\.00 +1\.00$/m)
  const { question, samples, sections, verdicts, known } = JSON.parse(await readFile(json, 'utf8'))
  expect(question).toBe('mirror')
  expect(sections).toHaveLength(3)
  expect(known).toMatchObject([{ server: 'zot', values: { '1.upstream': 1 } }])
  expect(samples.map(({ server }: { server: string }) => server)).toEqual(['outport', 'outport'])
  for (const { values } of samples) {
    expect(values).toMatchObject({ '1.right': 30, '3.whole': 1, '9.errors': 0 })
    expect(values['9.peak']).toBeGreaterThan(1)
  }
  expect(verdicts).toContainEqual(expect.objectContaining({ key: '9.errors', value: 0, holds: true }))
})

test('push has figures of each part, also with durability fast', { timeout: 180_000 }, async () => {
  await using folder = await temporaryDirectory()
  const json = join(folder.path, 'result.json')
  const { code, said } = await bench(['push', '--alone', '--quick', '--json', json])

  expect(code, said).toBe(0)
  expect(said).not.toContain('No figures')
  const { samples } = JSON.parse(await readFile(json, 'utf8'))
  expect(samples.map(({ server }: { server: string }) => server)).toEqual(['outport', 'outport, fast'])
  for (const { values } of samples)
    for (const key of ['1.chunked', '1.whole', '2.peak', '3.rate'])
      expect(values[key], key).toBeGreaterThan(0)
})

test('a part that a peer fails is said to have no figures of it', { timeout: 120_000 }, async () => {
  await using folder = await temporaryDirectory()
  const json = join(folder.path, 'result.json')
  const little = ['--only', '5', '--alone', '--quick', '--size', '1MiB', '--json', json]
  const { code, said } = await bench([
    'mirror',
    ...little,
    '--peer',
    'broken=echo {port}, {upstream}; exit 3',
  ])

  expect(code, said).toBe(0)
  expect(said).toMatch(
    /^No figures: 5, round 1, broken: broken did not start: \d+, http:\/\/127\.0\.0\.1:\d+$/m,
  )
  const { samples } = JSON.parse(await readFile(json, 'utf8'))
  expect(samples).toMatchObject([{ server: 'outport', values: { '5.whole': 1 } }, { server: 'broken' }])
})

describeWith(['distribution v3', 'curl'], 'with distribution beside it', () => {
  test('hot-blob compares servers in a table and in JSON', { timeout: 120_000 }, async () => {
    await using folder = await temporaryDirectory()
    const json = join(folder.path, 'result.json')
    const sizes = ['--quick', '--runs', '2', '--size', '256KiB']
    const { code, said } = await bench(['hot-blob', ...sizes, '--json', json])

    expect(code, said).toBe(0)
    expect(said).toMatch(/^ +CPU s\/GB +ratio +GB\/s +peak MiB$/m)
    expect(said).toMatch(/^outport {2}/m)
    expect(said).toMatch(/^distribution v3 {2}/m)
    expect(said).toMatch(/at most 1\.3 ×; it is \d/)
    const { question, samples } = JSON.parse(await readFile(json, 'utf8'))
    expect(question).toBe('hot-blob')
    for (const server of ['outport', 'distribution v3']) {
      const own = samples.filter((sample: { server: string }) => sample.server === server)
      expect(own).toHaveLength(2)
      for (const { values } of own) expect(values.peak).toBeGreaterThan(1)
    }
  })
})
