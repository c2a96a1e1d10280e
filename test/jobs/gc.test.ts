import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { createGc, type GcEnd, type GcRules } from '../../src/jobs/gc.ts'
import { buildImage } from '../support/images.ts'
import { type GarbageHome, garbageHome, hour, other, team } from './support/garbage-home.ts'

const [image, second] = ['image', 'second'].map((seed) => buildImage({ layers: [1000], seed })) as [
  ReturnType<typeof buildImage>,
  ReturnType<typeof buildImage>,
]

function gcOf(home: GarbageHome, rules: GcRules) {
  const ends: GcEnd[] = []
  const { database, drafts } = home
  const gc = createGc({ ...home.options, database, drafts, rules, onEnd: (end) => ends.push(end) })
  return { gc, ends }
}

async function untagged(home: GarbageHome): Promise<void> {
  await home.pushImage(other, image)
  await home.pushImage(team, second)
  home.age()
}

test('a run by itself ends when other rules hold, and the next keeps to them', async () => {
  await using home = await garbageHome()
  await untagged(home)
  const [reached, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  home.hooks.remove = async () => {
    reached.resolve()
    await open.promise
  }
  const { gc, ends } = gcOf(home, { everyMs: 1, graceMs: hour, untaggedMs: hour })
  await using _ = gc
  await reached.promise
  gc.follow({ everyMs: 1, graceMs: hour })
  open.resolve()
  await expect
    .poll(() => ends.slice(0, 2))
    .toMatchObject([{ outcome: 'stopped' }, { outcome: 'done', blobs: 2 }])
  expect(await home.here([image.manifest, second.manifest])).toEqual([image.manifest])
})

test('a dry run needs no node that is at rest, is no run, and leaves nothing', async () => {
  await using home = await garbageHome()
  await untagged(home)
  const { gc, ends } = gcOf(home, { everyMs: false, graceMs: hour })
  await using _ = gc
  const told = []
  using _gate = await home.gates.share(team)
  for await (const event of gc.run({ dry: true, untaggedMs: hour }, new AbortController().signal))
    told.push(event)
  expect(told).toMatchObject([
    { repository: team, manifests: 1, blobs: 2 },
    { repository: other, manifests: 1, blobs: 2 },
    { kind: 'end', manifests: 2, blobs: 4 },
  ])
  expect([ends, gc.hasFailed(), await readdir(home.drafts)]).toEqual([[], false, []])
  expect(await home.here([image.manifest, second.manifest])).toHaveLength(2)
})

test('a run whose caller leaves is no failure', async () => {
  await using home = await garbageHome()
  await untagged(home)
  const { gc, ends } = gcOf(home, { everyMs: false, graceMs: hour })
  await using _ = gc
  const request = { dry: false, untaggedMs: hour }
  for await (const event of gc.run(request, new AbortController().signal)) {
    expect(event).toMatchObject({ repository: team })
    break
  }
  await expect(async () => {
    for await (const _event of gc.run(request, AbortSignal.abort(new Error('gone'))));
  }).rejects.toThrow('gone')
  expect(ends).toMatchObject([
    { outcome: 'stopped', manifests: 1, blobs: 2 },
    { outcome: 'stopped', blobs: 0 },
  ])
  expect(gc.hasFailed()).toBe(false)
  expect(await home.here([image.manifest, second.manifest])).toEqual([image.manifest])
})
