import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { readSlowly } from './support/readers.ts'
import { attempt, type FaultSite, isWhole, repository, startSite } from './support/site.ts'
import { flip, partsIn, pathOf, storedDigests } from './support/stored.ts'

const size = 6_000_000
const bytes = pseudoRandomBytes(size, 'files')
const blobGet = { kind: 'blob', method: 'GET' } as const

function ask(site: FaultSite, digest: string) {
  return site.ask(`blobs/${digest}`, { keep: false, signal: AbortSignal.timeout(15_000) })
}

const right = (digest: string) => ({ status: 200, complete: true, sha256: digest })

describe.skipIf(spawnSync('strace', ['-V']).status !== 0)(
  'strace: a disk that cannot say that it has the bytes',
  () => {
    test('what it did not keep is thrown away and never believed, the node says so, and goes on', async () => {
      await using site = await startSite()
      const digest = site.upstream.addBlob(repository, bytes)
      using stalled = site.upstream.fault({ on: blobGet, times: 1, stallAt: size >> 1 })
      const clients = [1, 2].map(() => attempt(ask(site, digest)))
      await stalled.struck()
      const folder = join(site.edge.data, 'fills')
      const parts = (await partsIn(site.edge.data)).map((name) => join(folder, name))
      const disk = await failSyncs(site.edge.pid, parts)
      stalled.release()

      for (const answer of (await Promise.all(clients)).filter(isWhole)) expect(answer?.sha256).toBe(digest)
      await expect.poll(() => site.edge.metrics('outport_fills')).toBe(0)
      expect(disk.failed()).toBeGreaterThan(0)
      expect(await storedDigests(site.edge.data)).toEqual([])
      expect(await partsIn(site.edge.data)).toEqual([])
      const ready = await fetch(`${site.edge.url}/readyz`)
      expect([ready.status, await ready.json()]).toEqual([
        200,
        { status: 'degraded', degraded: [expect.objectContaining({ code: 'disk-broken' })] },
      ])

      await disk.heal()
      site.upstream.clear()
      expect(await ask(site, digest)).toMatchObject(right(digest))
      // Nothing of what was not synced is taken for clean.
      expect(site.upstream.blobBytes(digest)).toBe(size)
      expect(await storedDigests(site.edge.data)).toEqual([digest])
    })
  },
)

interface FailingDisk {
  /** How many syncs have failed. */
  failed(): number
  heal(): Promise<void>
}

/** From now on the process has EIO for every sync of these files. */
async function failSyncs(pid: number, files: readonly string[]): Promise<FailingDisk> {
  const which = files.flatMap((file) => ['-P', file])
  const calls = ['-e', 'trace=fsync,fdatasync', '-e', 'inject=fsync,fdatasync:error=EIO', '-e', 'signal=none']
  const strace: ChildProcess = spawn('strace', ['-f', ...which, ...calls, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(strace, 'close')
  const attached = Promise.withResolvers<void>()
  let failed = 0
  if (!strace.stderr) throw new Error('strace has no stderr')
  createInterface({ input: strace.stderr }).on('line', (text) => {
    if (text.includes('attached')) attached.resolve()
    if (text.includes('(INJECTED)')) failed++
  })
  await Promise.race([attached.promise, ended.then(() => Promise.reject(new Error('strace ended')))])
  return {
    failed: () => failed,
    async heal() {
      strace.kill('SIGINT')
      await ended
    },
  }
}

type Harms = Record<string, (file: string) => Promise<unknown>>

const otherBytes: Harms = {
  'its first byte flipped': (file) => flip(file, 0),
  'a byte in the middle flipped': (file) => flip(file, size >> 1),
  'its last byte flipped': (file) => flip(file, size - 1),
  'other bytes of the same length': (file) => writeFile(file, pseudoRandomBytes(size, 'other')),
  'zeros of the same length': (file) => writeFile(file, Buffer.alloc(size)),
}

const otherFiles: Harms = {
  'its end cut off': (file) => truncate(file, size - 1),
  'most of it cut off': (file) => truncate(file, 100),
  'nothing in it': (file) => truncate(file, 0),
  'something behind its end': (file) => appendFile(file, 'tail'),
  'a folder in its place': (file) => replace(file, () => mkdir(file)),
  'a link to other bytes in its place': (file) =>
    replace(file, async () => {
      const elsewhere = join(file, '../../../../other')
      await writeFile(elsewhere, pseudoRandomBytes(size, 'other'))
      await symlink(elsewhere, file)
    }),
  'a link to nowhere in its place': (file) => replace(file, () => symlink('/nowhere', file)),
  'a pipe in its place': (file) => replace(file, async () => spawnSync('mkfifo', [file])),
  'nothing in its place': (file) => rm(file),
}

async function replace(file: string, make: () => Promise<unknown>): Promise<void> {
  await rm(file)
  await make()
}

describe.each([
  { how: 'hold other bytes of the same length', harms: otherBytes },
  { how: 'have another length, or are no files', harms: otherFiles },
])('stored blobs that $how behind our back are never served complete, and come again', ({ harms }) => {
  test.each(['while the node runs', 'while it is stopped'])('%s', async (when) => {
    await using site = await startSite()
    const spoilt = Object.entries(harms).map(([what, harm]) => {
      const digest = site.upstream.addBlob(repository, contentOf(what))
      return { what, harm, digest, file: pathOf(site.edge.data, digest) }
    })
    for (const { digest } of spoilt) expect(await ask(site, digest)).toMatchObject(right(digest))
    if (when === 'while it is stopped') await site.edge.stop()
    for (const { harm, file } of spoilt) await harm(file)
    if (when === 'while it is stopped') await site.edge.restart()

    const told: Record<string, Told[]> = {}
    for (const { what, digest } of spoilt) told[what] = [await tell(site, digest), await tell(site, digest)]

    // The first answer may be cut, where its bytes turn out to be others on their way.
    const healed = spoilt.map(({ what }) => [what, [expect.stringMatching(/^(right|cut)$/), 'right']])
    expect(told).toEqual(Object.fromEntries(healed))
    expect((await storedDigests(site.edge.data)).sort()).toEqual(spoilt.map(({ digest }) => digest).sort())
  })
})

type Told = 'right' | 'WRONG' | 'cut' | 'no answer'

async function tell(site: FaultSite, digest: string): Promise<Told> {
  const answer = await site
    .ask(`blobs/${digest}`, { keep: false, signal: AbortSignal.timeout(3000) })
    .catch(() => undefined)
  if (!answer) return 'no answer'
  if (!isWhole(answer)) return 'cut'
  return answer.sha256 === digest ? 'right' : 'WRONG'
}

function contentOf(what: string): Buffer {
  return Buffer.concat([bytes.subarray(what.length), Buffer.from(what)])
}
describe('a reader that is under way finishes', () => {
  const large = pseudoRandomBytes(32 * 1024 * 1024, 'unlinked')

  test.each(['stored', 'on its way'])('when the file of a blob that is %s is unlinked', async (state) => {
    await using site = await startSite()
    const digest = site.upstream.addBlob(repository, large)
    const url = `${site.edge.url}/v2/${repository}/blobs/${digest}`
    if (state === 'stored') expect(await ask(site, digest)).toMatchObject(right(digest))
    const unlinked = Promise.withResolvers<void>()
    const slow = { until: unlinked.promise }
    const heads = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const readers = [
      readSlowly(url, large, { ...slow, onHead: heads[0]?.resolve }),
      readSlowly(url, large, {
        ...slow,
        onHead: heads[1]?.resolve,
        headers: { range: 'bytes=1000-' },
        from: 1000,
      }),
    ]
    await Promise.all(heads.map(({ promise }) => promise))
    // The slow readers have taken what fits into sockets; the fill does not wait for them.
    expect(await ask(site, digest)).toMatchObject(right(digest))

    await rm(pathOf(site.edge.data, digest))
    unlinked.resolve()

    expect(await Promise.all(readers)).toEqual([
      { status: 200, bytes: large.length, isRight: true, isComplete: true },
      { status: 206, bytes: large.length - 1000, isRight: true, isComplete: true },
    ])
    expect(await ask(site, digest)).toMatchObject(right(digest))
    expect(site.upstream.blobBytes(digest)).toBeLessThanOrEqual(2.02 * large.length)
    expect(await storedDigests(site.edge.data)).toContain(digest)
  })
})
