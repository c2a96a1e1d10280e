import { execFile } from 'node:child_process'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Sqlite from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { outport } from '../support/command.ts'
import { type Edge, mirrorPolicies, startEdge } from '../support/edge.ts'
import { buildImage } from '../support/images.ts'
import { createJournal, plainEnvironment, startNode } from '../support/node-process.ts'
import { pull } from '../support/pull.ts'
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts'
import { describeWith, toolPath } from '../support/tools.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'
import { makeNextVersion, nextSchema } from './support/next-version.ts'

const repository = 'library/app'
const first = buildImage({ layers: [5000, 3_000_000], seed: 'upgrade' })
const second = buildImage({ layers: [6000, 3_000_000], seed: 'upgraded' })
let scratch: TemporaryDirectory
let upstream: Upstream
let next: string

beforeAll(async () => {
  scratch = await temporaryDirectory()
  next = await makeNextVersion(join(scratch.path, 'next'))
  upstream = await startUpstream()
  upstream.addImage(repository, '1', first)
  upstream.addImage(repository, '2', second)
})
afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

const policies = () => mirrorPolicies(upstream, { project: { freshness: [{ tag: '**', for: '1d' }] } })
const start = (data: string, entry?: string) =>
  startEdge({ policies: policies(), data, ...(entry !== undefined && { entry }) })

/** Every client gets the whole image, whatever the node is doing. */
async function crowd({ url }: Edge, tag: string): Promise<void> {
  await Promise.all(Array.from({ length: 8 }, () => pull(url, repository, tag)))
}

/** Pulls the image without a byte from upstream. */
async function pullFromHere(edge: Edge, tag: string): Promise<void> {
  upstream.clear()
  await pull(edge.url, repository, tag)
  expect(upstream.count({ kind: 'blob', method: 'GET', repository })).toBe(0)
}

const copiesIn = async (data: string) =>
  (await readdir(data)).filter((name) => /^outport\.db\.\d{4}-[\w-]+(\.new)?$/.test(name))

test('to the next version under load, back again as it says, and on: nothing is lost', {
  timeout: 180_000,
}, async () => {
  const data = join(scratch.path, 'there-and-back')
  await using edge = await start(data)
  await crowd(edge, '1')
  await edge.stop()

  await using newer = await start(data, next)
  await Promise.all([crowd(newer, '2'), crowd(newer, '1')])
  await newer.stop()
  const [copy = ''] = await copiesIn(data)
  expect(await copiesIn(data)).toHaveLength(1)

  const refused = await outport(['serve'], { OUTPORT_DATA: data, OUTPORT_POLICIES: edge.policies })
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(
    new RegExp(
      `^outport: the data in \\S+ was written by a newer Outport .*${nextSchema}.*; to go back .*: (.*${copy}.*)\n$`,
    ),
  )
  await promisify(execFile)('sh', ['-ec', refused.stderr.slice(refused.stderr.indexOf('rm -f')).trim()])

  await using older = await start(data)
  await pullFromHere(older, '1')
  await crowd(older, '2')
  await pullFromHere(older, '2')
  expect((await outport(['fsck'], { OUTPORT_DATA: data })).stdout).toMatch(/ 0 rotten, 0 absent, 0 unknown/)
  await older.stop()

  await using again = await start(data, next)
  await pullFromHere(again, '1')
  await pullFromHere(again, '2')
})

test('a new node has nothing to keep a copy of', async () => {
  const data = join(scratch.path, 'new')
  await using edge = await start(data, next)
  await edge.stop()
  expect(await copiesIn(data)).toEqual([])
})

describeWith(['strace'], 'killed while the schema is brought up to date', () => {
  // The copy, its place, the log of the database, its pages: each counted in writes of one thread.
  test('the next start completes it, and everything is there', { timeout: 180_000 }, async () => {
    const data = join(scratch.path, 'killed')
    await using edge = await start(data)
    await pull(edge.url, repository, '1')
    await edge.stop()
    addLinks(join(data, 'outport.db'), 3000)
    for (const writes of [1, 20, 300]) {
      const tried = `${data}-${writes}`
      await cp(data, tried, { recursive: true })
      expect(await killedAfter(writes, tried, edge.policies)).toBe('SIGKILL')
      await using restarted = await start(tried, next)
      await pullFromHere(restarted, '1')
      await restarted.stop()
      const database = new Sqlite(join(tried, 'outport.db'), { readonly: true })
      const rows = database.prepare('select next = repository || digest as right from link').all()
      expect(rows.length).toBeGreaterThan(3000)
      expect(rows.filter((row) => (row as { right: number }).right !== 1)).toEqual([])
      expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
      database.close()
      expect((await copiesIn(tried)).filter((name) => !name.endsWith('.new'))).toHaveLength(1)
    }
  })
})

test('of two nodes that start together on older data one does it, and the other says so and ends', async () => {
  const data = join(scratch.path, 'together')
  await using edge = await start(data)
  await pull(edge.url, repository, '1')
  await edge.stop()
  const started = await Promise.allSettled([start(data, next), start(data, next)])
  const running = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const ended = started.flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []))
  expect([running.length, ended]).toEqual([
    1,
    [expect.stringMatching(/outport: \S+ is in use by another Outport/)],
  ])
  for (const each of running) {
    await pullFromHere(each, '1')
    await each[Symbol.asyncDispose]()
  }
})

function addLinks(file: string, count: number): void {
  const database = new Sqlite(file)
  const insert = database.prepare("insert into link values (?, ?, 'filled', 0)")
  database.transaction(() => {
    for (let at = 0; at < count; at++)
      insert.run(`docker.io/none/${at}`, `sha256:${String(at).padStart(64, '0')}`)
  })()
  database.close()
}

async function killedAfter(writes: number, data: string, folder: string): Promise<string | null> {
  const strace = [toolPath('strace'), '-D', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pwrite64']
  const through = [...strace, '-e', `inject=pwrite64:signal=KILL:when=${writes}`]
  const env = { OUTPORT_DATA: data, OUTPORT_POLICIES: folder, OUTPORT_LISTEN: '127.0.0.1:0' }
  const child = await startNode([next, 'serve'], { ...plainEnvironment(), ...env }, createJournal(), {
    through,
  })
  return (await child.exited).signal
}
