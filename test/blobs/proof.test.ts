import { spawnSync } from 'node:child_process'
import { open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BlobLostError, type BlobStore, type Growing, type OpenBlob } from '../../src/blobs/blob-store.ts'
import { extentBytes, extentsOf, textOf } from '../../src/blobs/extents.ts'
import { createProof } from '../../src/blobs/proof.ts'
import { createProofReader } from '../../src/blobs/proofs.ts'
import { createSlots } from '../../src/flow/slots.ts'
import { type Digest, digestOf, hexOf } from '../../src/oci/digest.ts'
import { readBlob } from '../suites/blob-store-suite.ts'
import { extentsWith } from '../support/extents.ts'
import { pseudoRandomBytes } from '../support/pseudo-random.ts'
import { type FsHome, fsHome } from './support/fs-home.ts'

const signal = new AbortController().signal
const bytes = pseudoRandomBytes(3 * extentBytes + 1000, 'proof')
const digest = digestOf(bytes)
const extents = extentsWith(bytes)
const text = textOf(extents)
const small = bytes.subarray(0, 9000)

/** A store that has the blob as an earlier process has left it. */
async function homeWith(home: FsHome, beside = text) {
  const file = join(home.drafts, 'part')
  await writeFile(file, bytes)
  await writeFile(`${file}.extents`, beside)
  await home.blobs.adopt(digest, file, `${file}.extents`)
  return { path: home.pathOf(digest), blobs: home.restart() }
}

async function openOf(blobs: BlobStore, of: Digest = digest): Promise<OpenBlob> {
  const found = await blobs.find(of)
  if (!found) throw new Error('absent')
  return found.open(signal)
}

async function kindOf(blobs: BlobStore, of: Digest = digest): Promise<string> {
  const opened = await openOf(blobs, of)
  if (opened.kind === 'file') await opened.handle.close()
  if (opened.kind === 'unproven') opened.growing.release()
  return opened.kind
}

async function unproven(blobs: BlobStore): Promise<Growing> {
  const opened = await openOf(blobs)
  if (opened.kind !== 'unproven') throw new Error(`open as ${opened.kind}`)
  return opened.growing
}

/** What a reader gets before it is told that the rest is wrong, if it is. */
async function readFrom(growing: Growing, start = 0, end = bytes.length) {
  const pieces: Buffer[] = []
  const buffer = Buffer.alloc(1_000_000)
  let error: unknown
  try {
    for (let at = start; at < end; ) {
      const to = Math.min(end, await growing.readableFrom(at, signal))
      const count = await growing.read(buffer, Math.min(buffer.length, to - at), at)
      pieces.push(Buffer.from(buffer.subarray(0, count)))
      at += count
    }
  } catch (caught) {
    error = caught
  }
  return { got: Buffer.concat(pieces), error }
}

async function flip(path: string, at: number): Promise<void> {
  await using handle = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, at)
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at)
}

describe('what this process has brought itself is a file', () => {
  test('written', async () => {
    await using home = await fsHome()
    await home.blobs.write(digestOf(small), small)
    expect(await kindOf(home.blobs, digestOf(small))).toBe('file')
  })

  test('adopted', async () => {
    await using home = await fsHome()
    await homeWith(home)
    expect(await kindOf(home.blobs)).toBe('file')
  })
})

describe('what an earlier process has left', () => {
  test('is proven while it is read, and a file from then on', async () => {
    await using home = await fsHome()
    const { blobs } = await homeWith(home)
    const growing = await unproven(blobs)
    expect(await kindOf(blobs)).toBe('unproven')

    const { got, error } = await readFrom(growing)
    growing.release()

    expect([error, bytes.equals(got)]).toEqual([undefined, true])
    expect(await kindOf(blobs)).toBe('file')
    expect(home.rotten).toEqual([])
  })

  test('is proven by readers of its parts together, whoever comes and goes', async () => {
    await using home = await fsHome()
    const { blobs } = await homeWith(home)
    for (const start of [2 * extentBytes, extentBytes]) {
      const growing = await unproven(blobs)
      const { got } = await readFrom(growing, start, start + 10)
      expect(bytes.subarray(start, start + 10).equals(got)).toBe(true)
      growing.release()
    }
    expect(await kindOf(blobs)).toBe('file')
  })

  test.each([
    { how: 'by its extents', beside: text },
    { how: 'by its digest', beside: '' },
  ])('is proven once for many readers at once, $how', async ({ beside }) => {
    await using home = await fsHome()
    const { path } = await homeWith(home, beside)
    await using handle = await open(path)
    const slots = createSlots(1)
    let hashed = 0
    let whole = 0
    const proof = createProof({
      digest,
      identity: await handle.stat({ bigint: true }),
      extents: `${path}.extents`,
      slots: {
        ...slots,
        acquire(ended) {
          hashed++
          return slots.acquire(ended)
        },
      },
      lifetime: signal,
      onWhole: async () => void whole++,
      onRotten: async () => {},
    })
    const readers = Array.from({ length: 5 }, () => readFrom(createProofReader(proof, handle)))
    for (const { got, error } of await Promise.all(readers))
      expect([error, bytes.equals(got)]).toEqual([undefined, true])
    expect([hashed, whole, proof.isWhole]).toEqual([4, 1, true])
  })

  test('small: is proven at once', async () => {
    await using home = await fsHome()
    await home.blobs.write(digestOf(small), small)
    const blobs = home.restart()
    expect(await kindOf(blobs, digestOf(small))).toBe('file')
    expect(small.equals(await readBlob(blobs, digestOf(small)))).toBe(true)
  })

  const [first = '', second = '', ...rest] = extents.tags as string[]
  const wrong: Record<string, string> = {
    'none of its extents is noted': '',
    'a line is missing': textOf({ ...extents, tags: [second, ...rest] }),
    'a line is another': textOf({ ...extents, tags: [first, first, ...rest] }),
    'the first line is no tag': textOf({ ...extents, tags: [undefined, second, ...rest] }),
    'the key is none': text.replace(/^./, 'x'),
    'the key is another': textOf({ ...extents, key: Buffer.alloc(16) }),
  }
  for (const [what, beside] of Object.entries(wrong)) {
    test(`answers to its digest where ${what}, which is mended`, async () => {
      await using home = await fsHome()
      const { blobs, path } = await homeWith(home, beside)
      const opened = await openOf(blobs)
      if (opened.kind === 'unproven') expect(bytes.equals((await readFrom(opened.growing)).got)).toBe(true)
      if (opened.kind === 'unproven') opened.growing.release()
      if (opened.kind === 'file') await opened.handle.close()

      expect(await kindOf(blobs)).toBe('file')
      const mended = extentsOf(await readFile(`${path}.extents`, 'utf8'))
      expect(mended).toEqual(extentsWith(bytes, mended?.key))
      expect(await readdir(home.drafts)).toEqual([])
      expect(home.rotten).toEqual([])
    })
  }

  test('sha512', async () => {
    await using home = await fsHome()
    const long = digestOf(bytes, 'sha512')
    await home.blobs.write(long, bytes)
    const blobs = home.restart()
    expect(await kindOf(blobs, long)).toBe('file')
    await flip(home.pathOf(long), bytes.length - 1)
    await expect(openOf(blobs, long)).rejects.toThrow(BlobLostError)
  })
})

describe('a blob that was changed', () => {
  const spoilers: Record<string, (path: string) => Promise<unknown>> = {
    'in its first byte': (path) => flip(path, 0),
    'in its last byte': (path) => flip(path, bytes.length - 1),
    'by losing its end': (path) => truncate(path, bytes.length - 1),
    'by losing whole extents': (path) => truncate(path, extentBytes),
    'by losing nearly all': (path) => truncate(path, 1),
    'by growing': (path) => truncate(path, bytes.length + 1),
    'by growing much': (path) => truncate(path, bytes.length + 2 * extentBytes),
  }
  for (const [how, spoil] of Object.entries(spoilers)) {
    for (const when of ['by whoever has it', 'before a start']) {
      test(`${how}, ${when}: is not opened, put aside, absent, and replaced`, async () => {
        await using home = await fsHome()
        const { path, blobs: later } = await homeWith(home)
        await spoil(path)
        const blobs = when === 'before a start' ? later : home.blobs
        const spoilt = await readFile(path)

        await expect(openOf(blobs)).rejects.toThrow(BlobLostError)

        expect(await blobs.find(digest)).toBeUndefined()
        expect(home.rotten).toEqual([digest])
        expect(await readdir(home.quarantine)).toEqual([`sha256-${hexOf(digest)}`])
        expect(spoilt.equals(await readFile(join(home.quarantine, `sha256-${hexOf(digest)}`)))).toBe(true)
        await blobs.write(digest, bytes)
        expect(await readdir(home.quarantine)).toEqual([])
        expect(bytes.equals(await readBlob(blobs, digest))).toBe(true)
      })
    }
  }

  test('in its middle: all its readers are cut before a byte of that extent', async () => {
    await using home = await fsHome()
    const { path, blobs } = await homeWith(home)
    await flip(path, extentBytes + 5)
    const readers = await Promise.all([1, 2, 3].map(() => unproven(blobs)))

    const answers = await Promise.all(readers.map((each) => readFrom(each)))

    for (const { got, error } of answers) {
      expect(error).toBeInstanceOf(BlobLostError)
      expect(got.length).toBeLessThanOrEqual(extentBytes)
      expect(bytes.subarray(0, got.length).equals(got)).toBe(true)
    }
    expect(home.rotten).toEqual([digest])
    expect(await blobs.find(digest)).toBeUndefined()
    // Also who comes back to what was proven before.
    const [first] = readers
    expect((await readFrom(first as Growing, 2 * extentBytes)).error).toBeInstanceOf(BlobLostError)
    for (const each of readers) each.release()
  })

  test('while it is read: not completed, and not believed later', async () => {
    await using home = await fsHome()
    const { path, blobs } = await homeWith(home)
    const growing = await unproven(blobs)
    await flip(path, 5)
    const { got, error } = await readFrom(growing, extentBytes)
    growing.release()

    expect([error instanceof BlobLostError, got.length]).toEqual([true, 0])
    await expect(openOf(blobs)).rejects.toThrow(BlobLostError)
    expect(home.rotten).toEqual([digest])
  })

  test('is found by a check, also where its tags were changed with it, and put aside', async () => {
    await using home = await fsHome()
    const { path } = await homeWith(home)
    const pace = async () => {}
    expect(await home.blobs.check(digest, pace, signal)).toBe('right')
    await flip(path, extentBytes + 5)
    await writeFile(`${path}.extents`, textOf(extentsWith(await readFile(path))))
    expect(await home.blobs.check(digest, pace, signal)).toBe('rotten')
    expect([home.rotten, await home.blobs.find(digest)]).toEqual([[digest], undefined])
    expect(await home.blobs.check(digest, pace, signal)).toBe('absent')
  })

  test('and whose change is set to look old is found out', async () => {
    await using home = await fsHome()
    const { path } = await homeWith(home)
    const old = join(home.drafts, 'old')
    spawnSync('touch', ['-r', path, old])
    await flip(path, 0)
    spawnSync('touch', ['-r', old, path])
    await expect(openOf(home.blobs)).rejects.toThrow(BlobLostError)
  })

  test('and that cannot be put aside stays an error until it can', async () => {
    await using home = await fsHome()
    const { path, blobs } = await homeWith(home)
    await flip(path, 0)
    await writeFile(home.quarantine, 'a file where the folder should be')
    await expect(openOf(blobs)).rejects.toThrow('EEXIST')
    await expect(openOf(blobs)).rejects.toThrow('EEXIST')
    expect(home.rotten).toEqual([])

    await rm(home.quarantine)
    await expect(openOf(blobs)).rejects.toThrow(BlobLostError)
    expect(home.rotten).toEqual([digest])
  })

  test('small, by a write of the same size: the next write mends it', async () => {
    await using home = await fsHome()
    await home.blobs.write(digestOf(small), small)
    await flip(home.pathOf(digestOf(small)), 7)
    await home.blobs.write(digestOf(small), small)
    expect(small.equals(await readBlob(home.blobs, digestOf(small)))).toBe(true)
    expect(home.rotten).toEqual([])
  })
})

describe('while a blob is proven', () => {
  test('its file may go: readers finish', async () => {
    await using home = await fsHome()
    const { path, blobs } = await homeWith(home)
    const growing = await unproven(blobs)
    await rm(path)
    const { got, error } = await readFrom(growing)
    growing.release()

    expect([error, bytes.equals(got)]).toEqual([undefined, true])
    expect(await blobs.find(digest)).toBeUndefined()
  })

  test('a right file may take the place of a wrong one: it stays', async () => {
    await using home = await fsHome()
    const { path, blobs } = await homeWith(home)
    await flip(path, extentBytes)
    const growing = await unproven(blobs)
    await blobs.write(digest, bytes)
    const { error } = await readFrom(growing)
    growing.release()

    expect(error).toBeInstanceOf(BlobLostError)
    expect(home.rotten).toEqual([])
    expect(bytes.equals(await readBlob(blobs, digest))).toBe(true)
  })

  test('a reader may leave: another one, who waits for the same, has it', async () => {
    await using home = await fsHome()
    const { blobs } = await homeWith(home)
    const [one, other] = await Promise.all([unproven(blobs), unproven(blobs)])
    const gone = new AbortController()
    const leaving = one.readableFrom(extentBytes, gone.signal)
    const waiting = other.readableFrom(extentBytes, signal)
    gone.abort(new Error('left'))
    one.release()

    await expect(leaving).rejects.toThrow('left')
    expect(await waiting).toBe(2 * extentBytes)
    other.release()
  })

  test('what stands in the place of its extents is not waited for', async () => {
    await using home = await fsHome()
    const { path, blobs } = await homeWith(home)
    await rm(`${path}.extents`)
    spawnSync('mkfifo', [`${path}.extents`])
    expect(await kindOf(blobs)).toBe('file')
  })
})
