import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { BlobStore, OpenBlob } from '../../src/blobs/blob-store.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'

/** An empty store, and a folder from which it can adopt files. */
export interface BlobStoreHome extends AsyncDisposable {
  blobs: BlobStore
  drafts: string
}

const unhurried = new AbortController().signal

/** What {@link BlobStore} promises, wherever the bytes are. */
export function blobStoreSuite(name: string, create: () => Promise<BlobStoreHome>): void {
  describe(name, () => {
    test('what was never written is absent', async () => {
      await using home = await create()
      expect(await home.blobs.find(digestOf(randomBytes(8)))).toBeUndefined()
    })

    for (const algorithm of ['sha256', 'sha512'] as const) {
      test(`${algorithm}: written bytes are found and read back`, async () => {
        await using home = await create()
        const bytes = randomBytes(100_000)
        const digest = digestOf(bytes, algorithm)
        await home.blobs.write(digest, bytes)

        expect(await home.blobs.find(digest)).toMatchObject({ digest, size: bytes.length })
        expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
      })

      test(`${algorithm}: a blob of no bytes is a blob`, async () => {
        await using home = await create()
        const digest = digestOf(new Uint8Array(), algorithm)
        await home.blobs.write(digest, new Uint8Array())

        expect(await home.blobs.find(digest)).toMatchObject({ size: 0 })
        expect(await readBlob(home.blobs, digest)).toHaveLength(0)
      })
    }

    test('what is removed is absent, and who has opened it reads on', async () => {
      await using home = await create()
      const bytes = randomBytes(100_000)
      const digest = digestOf(bytes)
      await home.blobs.write(digest, bytes)
      const found = await home.blobs.find(digest)
      const opened = await found?.open(unhurried)
      await home.blobs.remove(digest)
      await home.blobs.remove(digest)

      expect(await home.blobs.find(digest)).toBeUndefined()
      expect(opened && bytes.equals(await bytesOf(opened))).toBe(true)
      await home.blobs.write(digest, bytes)
      expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
    })

    test('what is checked is read piece by piece, and right or absent', async () => {
      await using home = await create()
      const bytes = Buffer.alloc(1_000_000, 'check')
      const digest = digestOf(bytes)
      const signal = new AbortController().signal
      let read = 0
      const pace = async (count: number) => {
        read += count
      }
      expect(await home.blobs.check(digest, pace, signal)).toBe('absent')
      await home.blobs.write(digest, bytes)
      expect(await home.blobs.check(digest, pace, signal)).toBe('right')
      expect(read).toBe(bytes.length)
      await expect(home.blobs.check(digest, pace, AbortSignal.abort(new Error('left')))).rejects.toThrow(
        'left',
      )
    })

    test('an adopted file is found, and its draft is gone', async () => {
      await using home = await create()
      const { file, digest, bytes } = await draftOf(home, randomBytes(5000))
      await home.blobs.adopt(digest, file)

      expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
      await expect(readFile(file)).rejects.toThrow('ENOENT')
    })

    test('writing and adopting what is there already changes nothing', async () => {
      await using home = await create()
      const bytes = randomBytes(5000)
      const { file, digest } = await draftOf(home, bytes)
      await home.blobs.write(digest, bytes)
      await home.blobs.write(digest, bytes)
      await home.blobs.adopt(digest, file)
      await home.blobs.adopt(digest, file)

      expect(bytes.equals(await readBlob(home.blobs, digest))).toBe(true)
    })

    test('many writers of the same blob and of others at once', async () => {
      await using home = await create()
      const blobs = Array.from({ length: 20 }, () => randomBytes(1000))
      await Promise.all(
        [...blobs, ...blobs, ...blobs].map((bytes) => home.blobs.write(digestOf(bytes), bytes)),
      )

      for (const bytes of blobs) expect(bytes.equals(await readBlob(home.blobs, digestOf(bytes)))).toBe(true)
    })

    test('adopting a file that is not there fails, and the blob stays absent', async () => {
      await using home = await create()
      const digest = digestOf(randomBytes(8))
      await expect(home.blobs.adopt(digest, join(home.drafts, 'missing'))).rejects.toThrow()
      expect(await home.blobs.find(digest)).toBeUndefined()
    })

    test('a caller that is gone opens nothing', async () => {
      await using home = await create()
      const bytes = randomBytes(10)
      await home.blobs.write(digestOf(bytes), bytes)
      const found = await home.blobs.find(digestOf(bytes))
      await expect(found?.open(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
    })

    test('a reader keeps its blob when it is adopted again meanwhile', async () => {
      await using home = await create()
      const bytes = randomBytes(5000)
      const digest = digestOf(bytes)
      await home.blobs.write(digest, bytes)
      const found = await home.blobs.find(digest)
      const open = await found?.open(unhurried)
      const { file } = await draftOf(home, bytes)
      await home.blobs.adopt(digest, file)

      expect(open && bytes.equals(await bytesOf(open))).toBe(true)
    })
  })
}

async function draftOf(home: BlobStoreHome, bytes: Buffer) {
  const digest = digestOf(bytes)
  const file = join(home.drafts, digestOf(randomBytes(8)).slice(7))
  await writeFile(file, bytes, { mode: 0o600 })
  return { file, digest, bytes }
}

export async function readBlob(blobs: BlobStore, digest: Digest): Promise<Buffer> {
  const found = await blobs.find(digest)
  if (!found) throw new Error(`${digest} is absent`)
  return bytesOf(await found.open(unhurried))
}

async function bytesOf(open: OpenBlob): Promise<Buffer> {
  switch (open.kind) {
    case 'bytes':
      return Buffer.from(open.bytes)
    case 'file':
      try {
        return await open.handle.readFile()
      } finally {
        await open.handle.close()
      }
    default:
      throw new Error(`a stored blob is open as ${open.kind}`)
  }
}
