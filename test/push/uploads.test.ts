import { readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createFsBlobStore } from '../../src/blobs/fs.ts'
import { createHolds } from '../../src/flow/holds.ts'
import { createMetrics } from '../../src/metrics.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { openUploads } from '../../src/push/uploads.ts'
import { sumOf } from '../support/metrics.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const repository = parseRepositoryName('team/app')
const dayMs = 24 * 3_600_000

/** A room without bounds, that counts. */
function createCountingRoom() {
  const state = { bytes: 0, landed: 0 }
  const change = (bytes: number, landed: number) => {
    state.bytes += bytes
    state.landed += landed
  }
  return {
    state,
    room: {
      take: async (bytes: number) => change(bytes, 0),
      landed: (bytes: number) => change(0, bytes),
      giveBack: (bytes: number, landed: number) => change(-bytes, -landed),
      found: (bytes: number) => change(bytes, bytes),
      mostBytes: async () => Number.POSITIVE_INFINITY,
      kept: () => {},
    },
  }
}

async function home(directory: string, now = Date.now) {
  const metrics = createMetrics()
  const { room, state } = createCountingRoom()
  const errors: unknown[] = []
  const blobs = createFsBlobStore({
    directory: join(directory, 'blobs'),
    drafts: directory,
    quarantine: directory,
    durability: 'fast',
    lifetime: new AbortController().signal,
    onRotten: () => {},
  })
  const uploads = await openUploads({
    ...{ directory, blobs, room, metrics, now, sync: false },
    metadata: { recordBlob: async () => {} },
    holds: createHolds<Digest>(),
    onError: (error) => errors.push(error),
  })
  return { uploads, state, errors, metrics }
}

test('what an earlier process has left is counted, and what is too old is dropped', async () => {
  await using folder = await temporaryDirectory()
  for (const [id, ageMs] of [
    ['young', dayMs / 2],
    ['old', dayMs * 1.5],
  ] as const) {
    const file = join(folder.path, `${id}.upload`)
    await writeFile(file, Buffer.alloc(1000))
    await utimes(file, new Date(Date.now() - ageMs), new Date(Date.now() - ageMs))
  }
  const { uploads, state, metrics } = await home(folder.path)
  await using _ = uploads
  expect(await readdir(folder.path)).toEqual(['young.upload'])
  expect(state).toEqual({ bytes: 1000, landed: 1000 })
  expect(sumOf(await metrics.text(), 'outport_uploads_ended_total', { outcome: 'abandoned' })).toBe(1)
  const upload = await uploads.take('young', 'sha256')
  await upload?.end('cancelled')
  await upload?.[Symbol.asyncDispose]()
  expect(state).toEqual({ bytes: 0, landed: 0 })
})

test('an upload that somebody takes up while the old ones are looked through is dropped before, or not at all', async () => {
  await using folder = await temporaryDirectory()
  const ids = Array.from({ length: 300 }, (_, at) => `upload${at}`)
  const clock = { now: Date.now() }
  const { uploads, state, errors } = await home(folder.path, () => clock.now)
  await using _ = uploads
  for (const id of ids) await writeFile(join(folder.path, `${id}.upload`), 'old')
  clock.now += 2 * dayMs
  const tidied = uploads.tidy()
  const digest = digestOf(Buffer.from('old and new'))
  let goneOn = 0
  for (const id of ids) {
    await turn()
    const upload = await uploads.take(id, 'sha256')
    if (!upload) continue
    goneOn += 1
    await upload.append(Buffer.from(' and new'))
    await upload.flush()
    await upload.commit(repository, digest)
    await upload[Symbol.asyncDispose]()
  }
  await tidied
  expect(errors).toEqual([])
  expect(goneOn).toBeGreaterThan(0)
  expect(state).toEqual({ bytes: 0, landed: 0 })
  expect((await readdir(folder.path)).filter((file) => file.endsWith('.upload'))).toEqual([])
})

test('a file that somebody else has removed is counted no more', async () => {
  await using folder = await temporaryDirectory()
  const file = join(folder.path, 'gone.upload')
  await writeFile(file, Buffer.alloc(1000))
  const { uploads, state } = await home(folder.path)
  await using _ = uploads
  expect([state.bytes, uploads.bytes()]).toEqual([1000, 1000])
  await rm(file)
  expect(await uploads.take('gone', 'sha256')).toBe(undefined)
  expect([state.bytes, uploads.bytes()]).toEqual([0, 0])
})

test('for room the longest idle goes first, no more than is needed, and nothing that is young or in use', async () => {
  await using folder = await temporaryDirectory()
  const ages = { used: 300, oldest: 200, old: 100, young: 1 }
  for (const [id, minutes] of Object.entries(ages)) {
    const file = join(folder.path, `${id}.upload`)
    await writeFile(file, Buffer.alloc(1000))
    const at = new Date(Date.now() - minutes * 60_000)
    await utimes(file, at, at)
  }
  const { uploads, state } = await home(folder.path)
  await using _ = uploads
  const used = await uploads.take('used', 'sha256')
  expect(uploads.idle.bytes).toBe(2000)
  expect(await uploads.idle.drop(500)).toBe(1000)
  expect(state.bytes).toBe(3000)
  expect(await readdir(folder.path)).toEqual(['old.upload', 'used.upload', 'young.upload'])
  expect(await uploads.idle.drop(5000)).toBe(1000)
  expect(await readdir(folder.path)).toEqual(['used.upload', 'young.upload'])
  await used?.[Symbol.asyncDispose]()
})
