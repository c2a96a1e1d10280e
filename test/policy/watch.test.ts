import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import type { Loaded } from '../../src/policy/load.ts'
import { watchPolicies } from '../../src/policy/watch.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { loadFrom, policyFolder } from './policy-folder.ts'

const hub = 'kind: registry\nname: hub\ntype: docker-hub\n'
const project = (name: string) => `${hub}---\nkind: project\nname: ${name}\nproxy: hub\npublic: true\n`

/** Outcomes in their order, as the names of the site's projects or the word `wrong`. */
async function watched(
  folder: string,
  options: { pollMs?: number; load?: () => Promise<Loaded>; from?: Loaded } = {},
) {
  const stop = new AbortController()
  const outcomes: string[] = []
  let arrived = Promise.withResolvers<void>()
  function add(outcome: string): void {
    outcomes.push(outcome)
    arrived.resolve()
    arrived = Promise.withResolvers()
  }
  const { reload } = watchPolicies({
    folder,
    load: options.load ?? (() => loadFrom(folder)),
    onSite: (site) => add([...site.projects.keys()].join()),
    onProblems: () => add('wrong'),
    signal: stop.signal,
    ...(options.from && { from: options.from }),
    debounceMs: 10,
    pollMs: options.pollMs ?? 3_600_000,
  })
  return {
    reload,
    outcomes,
    stop: () => stop.abort(),
    /** Settles when the last outcome is this one. */
    async until(outcome: string): Promise<void> {
      while (outcomes.at(-1) !== outcome) await arrived.promise
    },
    [Symbol.dispose]: () => stop.abort(),
  }
}

test('a change is followed, a broken folder changes nothing, and its repair does', async () => {
  await using folder = await policyFolder({ 'a.yaml': project('one') })
  using watch = await watched(folder.path)
  await watch.reload()
  expect(watch.outcomes).toEqual(['one'])

  await folder.write('b.yaml', 'kind: project\nname: two\nproxy: hub\npublic: true\n')
  await watch.until('one,two')
  await folder.write('b.yaml', 'kind: project\nname: [')
  await watch.until('wrong')
  await rm(join(folder.path, 'b.yaml'))
  await watch.until('one')
})

test('a ConfigMap is followed when its link is turned', async () => {
  await using folder = await policyFolder({ '..v1/a.yaml': project('one'), '..v2/a.yaml': project('two') })
  await symlink('..v1', join(folder.path, '..data'))
  await symlink('..data/a.yaml', join(folder.path, 'a.yaml'))
  using watch = await watched(folder.path)
  await watch.reload()

  await symlink('..v2', join(folder.path, '..next'))
  await rename(join(folder.path, '..next'), join(folder.path, '..data'))
  await watch.until('two')
})

test('a folder that is replaced, vanishes and comes back is followed all the way', async () => {
  await using folder = await policyFolder({ 'a.yaml': project('one') })
  using watch = await watched(folder.path)
  await watch.reload()

  const next = `${folder.path}-next`
  await mkdir(next)
  await writeFile(join(next, 'a.yaml'), project('two'))
  await rename(folder.path, `${folder.path}-old`)
  await rename(next, folder.path)
  await watch.until('two')

  await folder.write('a.yaml', project('three'))
  await watch.until('three')

  await rm(folder.path, { recursive: true })
  await watch.until('wrong')
  await folder.write('a.yaml', project('four'))
  await watch.until('four')
})

test('a folder whose parent is not there either is found by looking', async () => {
  await using directory = await temporaryDirectory()
  const folder = join(directory.path, 'deep', 'policies')
  using watch = await watched(folder, { pollMs: 20 })
  await watch.reload()
  expect(watch.outcomes).toEqual(['wrong'])

  await mkdir(join(directory.path, 'next', 'policies'), { recursive: true })
  await writeFile(join(directory.path, 'next', 'policies', 'a.yaml'), project('one'))
  await rename(join(directory.path, 'next'), dirname(folder))
  await watch.until('one')
})

test('reload() loads though nothing changed, one load after the other', async () => {
  await using folder = await policyFolder({ 'a.yaml': project('one') })
  let running = 0
  let most = 0
  async function load(): Promise<Loaded> {
    most = Math.max(most, ++running)
    const loaded = await loadFrom(folder.path)
    running--
    return loaded
  }
  using watch = await watched(folder.path, { load })
  await watch.reload()
  const first = watch.reload()
  await Promise.all([first, watch.reload(), watch.reload()])
  expect(watch.outcomes).toEqual(['one', 'one'])
  expect(most).toBe(1)
})

test('a change between the first load and the watch is not missed, and without one nothing is loaded', async () => {
  await using folder = await policyFolder({ 'a.yaml': project('one') })
  const from = await loadFrom(folder.path)
  using idle = await watched(folder.path, { from, pollMs: 20 })
  await folder.write('a.yaml', project('two'))
  using watch = await watched(folder.path, { from })
  await watch.until('two')
  await idle.until('two')
  expect(idle.outcomes).toEqual(['two'])
})

test('a load that fails of itself is a problem, and the next one counts', async () => {
  await using folder = await policyFolder({ 'a.yaml': project('one') })
  let calls = 0
  const load = () => (++calls === 1 ? Promise.reject(new Error('no memory')) : loadFrom(folder.path))
  using watch = await watched(folder.path, { load })
  await watch.reload()
  await watch.reload()
  expect(watch.outcomes.at(0)).toBe('wrong')
  expect(watch.outcomes.at(-1)).toBe('one')
})

test('nothing is handed over after the end', async () => {
  await using folder = await policyFolder({ 'a.yaml': project('one') })
  const loading = Promise.withResolvers<Loaded>()
  using watch = await watched(folder.path, { load: () => loading.promise })
  const reload = watch.reload()
  watch.stop()
  loading.resolve(await loadFrom(folder.path))
  await reload
  expect(watch.outcomes).toEqual([])
})
