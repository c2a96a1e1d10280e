import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  appendFile,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf, hexOf } from '../../src/oci/digest.ts'
import { blobStoreSuite, readBlob } from '../suites/blob-store-suite.ts'
import { canMount, mountTmpfs } from '../support/tmpfs.ts'
import { fsHome, storeIn } from './support/fs-home.ts'

blobStoreSuite('blobs as files', () => fsHome('full'))
blobStoreSuite('blobs as files, durability fast', () => fsHome('fast'))
blobStoreSuite('blobs as files, each looked at by another process', async () => {
  const home = await fsHome()
  const blobs = new Proxy(home.blobs, { get: (_, name) => Reflect.get(home.restart(), name) })
  return { ...home, blobs }
})

const signal = new AbortController().signal
const bytes = randomBytes(9000)
const digest = digestOf(bytes)

describe('on the disk', () => {
  test('a blob stands under its digest, for this user only, and no draft is left', async () => {
    await using home = await fsHome()
    await home.blobs.write(digest, bytes)
    const path = home.pathOf(digest)

    expect(bytes.equals(await readFile(path))).toBe(true)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    for (const folder of [dirname(path), dirname(dirname(path)), home.directory]) {
      expect((await stat(folder)).mode & 0o777, folder).toBe(0o700)
    }
    expect(await readdir(home.drafts)).toEqual([])
  })

  test('extents go with the file', async () => {
    await using home = await fsHome()
    const file = join(home.drafts, 'part')
    const extents = join(home.drafts, 'part.extents')
    await writeFile(file, bytes)
    await writeFile(extents, 'hashes')
    await home.blobs.adopt(digest, file, extents)

    expect(await readFile(`${home.pathOf(digest)}.extents`, 'utf8')).toBe('hashes')
    expect(await readdir(home.drafts)).toEqual([])
    await home.blobs.adopt(digest, file, extents)
    expect(await readFile(`${home.pathOf(digest)}.extents`, 'utf8')).toBe('hashes')
  })

  test('a write that fails leaves no draft and no blob', async () => {
    await using home = await fsHome()
    await writeFile(home.directory, 'a file where the folder should be')
    await expect(home.blobs.write(digest, bytes)).rejects.toThrow()

    expect(await readdir(home.drafts)).toEqual([])
    await rm(home.directory)
    expect(await home.blobs.find(digest)).toBeUndefined()
    await home.blobs.write(digest, bytes)
    expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
  })

  test('folders that somebody removed are made again', async () => {
    await using home = await fsHome()
    await home.blobs.write(digest, bytes)
    await rm(home.directory, { recursive: true })
    await expect(home.blobs.write(digest, bytes)).rejects.toThrow('ENOENT')

    await home.blobs.write(digest, bytes)
    expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
  })

  test('a folder that cannot be looked into is an error, not an absence', async () => {
    await using home = await fsHome()
    await mkdir(home.directory)
    await writeFile(join(home.directory, 'sha256'), 'a file where the folder should be')
    await expect(home.blobs.find(digest)).rejects.toThrow('ENOTDIR')
  })
})

describe('what is no blob in a blob’s place is absent, and replaced', () => {
  const intruders: Record<string, (path: string) => Promise<unknown>> = {
    'a folder': (path) => mkdir(join(path, 'with', 'content'), { recursive: true }),
    'a symlink to a file': async (path) => {
      await writeFile(`${path}.elsewhere`, 'secret')
      await symlink(`${path}.elsewhere`, path)
    },
    'a dangling symlink': (path) => symlink('/nowhere', path),
    'an empty file': (path) => writeFile(path, ''),
  }
  for (const [name, intrude] of Object.entries(intruders)) {
    for (const way of ['write', 'adopt'] as const) {
      test(`${name}, by ${way}`, async () => {
        await using home = await fsHome()
        await mkdir(dirname(home.pathOf(digest)), { recursive: true })
        await intrude(home.pathOf(digest))
        expect(await home.blobs.find(digest)).toBeUndefined()

        const file = join(home.drafts, 'part')
        await writeFile(file, bytes)
        await (way === 'write' ? home.blobs.write(digest, bytes) : home.blobs.adopt(digest, file))

        expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
        expect((await stat(home.pathOf(digest))).isFile()).toBe(true)
      })
    }
  }

  test('bytes in the place of the blob of no bytes', async () => {
    await using home = await fsHome()
    const nothing = digestOf(new Uint8Array())
    await mkdir(dirname(home.pathOf(nothing)), { recursive: true })
    await writeFile(home.pathOf(nothing), 'something')
    expect(await home.blobs.find(nothing)).toBeUndefined()
  })

  test('a blob that lost its end is replaced by a write', async () => {
    await using home = await fsHome()
    await home.blobs.write(digest, bytes)
    await truncate(home.pathOf(digest), 100)
    await home.blobs.write(digest, bytes)
    expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
  })
})

describe('between found and opened', () => {
  const changes: Record<string, (path: string) => Promise<unknown>> = {
    'it lost its end': (path) => truncate(path, 100),
    'it grew': (path) => appendFile(path, 'more'),
    'it is gone': (path) => rm(path),
    'it became a symlink': async (path) => {
      await writeFile(`${path}.elsewhere`, bytes)
      await rm(path)
      await symlink(`${path}.elsewhere`, path)
    },
    'it became a folder': async (path) => {
      await rm(path)
      await mkdir(path)
    },
  }
  for (const [name, change] of Object.entries(changes)) {
    test(`${name}: an error, never other bytes`, async () => {
      await using home = await fsHome()
      await home.blobs.write(digest, bytes)
      const found = await home.blobs.find(digest)
      await change(home.pathOf(digest))
      await expect(found?.open(signal)).rejects.toThrow()
    })
  }

  test('an open blob stays readable when its file is removed', async () => {
    await using home = await fsHome()
    await home.blobs.write(digest, bytes)
    const found = await home.blobs.find(digest)
    const open = await found?.open(signal)
    await rm(home.pathOf(digest))

    if (open?.kind !== 'file') throw new Error('not a file')
    expect(bytes.equals(await open.handle.readFile())).toBe(true)
    await open.handle.close()
  })
})

test.skipIf(!canMount())(
  'tmpfs: a full disk fails the write and leaves nothing; with space it works',
  async () => {
    await using disk = await mountTmpfs('1m')
    const drafts = join(disk.path, 'uploads')
    const ballast = join(disk.path, 'ballast')
    await mkdir(drafts)
    const blobs = storeIn(disk.path)
    await blobs.write(digest, bytes)
    await writeFile(ballast, Buffer.alloc(800_000))
    const large = randomBytes(500_000)

    const outcomes = await Promise.allSettled([
      blobs.write(digestOf(large), large),
      blobs.write(digest, bytes),
    ])
    expect(outcomes.map((each) => each.status)).toEqual(['rejected', 'fulfilled'])
    expect(outcomes[0]).toMatchObject({ reason: { code: 'ENOSPC' } })
    expect(await blobs.find(digestOf(large))).toBeUndefined()
    expect(await readdir(drafts)).toEqual([])

    await truncate(ballast, 0)
    await blobs.write(digestOf(large), large)
    expect(large.equals(await readBlob(blobs, digestOf(large)))).toBe(true)
  },
)

describe.skipIf(spawnSync('strace', ['-V']).status !== 0)('strace: what a power cut would leave', () => {
  const writer = join(import.meta.dirname, 'support', 'writer.ts')

  async function callsOf(durability: 'full' | 'fast'): Promise<string[]> {
    await using home = await fsHome()
    const trace = ['-f', '-y', '-qq', '-e', 'trace=mkdir,fsync,fdatasync,rename', '-e', 'signal=none']
    const { stderr } = spawnSync(
      'strace',
      [...trace, process.execPath, writer, home.directory, home.drafts, durability],
      {
        encoding: 'utf8',
      },
    )
    return [...stderr.matchAll(/(mkdir|f(?:data)?sync|rename)\((?:\d+<)?"?([^">,]+)/g)]
      .map(
        ([, call, path = '']) =>
          `${call} ${path.replace(dirname(home.directory), '').replace(/[0-9a-f-]{36}|[0-9a-f]{64}/, '*')}`,
      )
      .filter((call) => /blobs|uploads/.test(call) || call.endsWith(' '))
  }

  test('full: bytes before their name, the name before the answer', async () => {
    const calls = await callsOf('full')
    const order = [
      'fsync /uploads/*',
      'rename /uploads/*',
      `fsync /blobs/sha256/${hexOf(digestOf(Buffer.from('kept'))).slice(0, 2)}`,
    ]
    expect(calls.filter((call) => order.includes(call))).toEqual(order)
    for (const folder of ['/blobs/sha256', '/blobs', '']) expect(calls).toContain(`fsync ${folder}`)
  })

  test('fast: no sync at all', async () => {
    const calls = await callsOf('fast')
    expect(calls.filter((call) => call.includes('sync '))).toEqual([])
    expect(calls).toContain('rename /uploads/*')
  })
})
