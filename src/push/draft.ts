import { createHash } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { createKey, extentBytes, writeExtents } from '../blobs/extents.ts'
import { createExtentTags } from '../fill/extent-tags.ts'
import { createSyncer } from '../fill/syncer.ts'
import { writeFully } from '../fill/write-fully.ts'
import { isDiskBroken } from '../flow/disk-trouble.ts'
import { createPieces } from '../flow/pieces.ts'
import { release } from '../flow/release.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/digest.ts'
import type { UploadRoom } from './upload-room.ts'

/** Few and large writes are cheapest: one is under way while the next is gathered. */
const batchBytes = 512 * 1024
const readBytes = 1024 * 1024

export interface DraftOptions {
  file: string
  /** It is made, and must not be there yet. */
  isNew?: boolean
  /** By which its digest will probably be asked for. */
  algorithm: DigestAlgorithm
  room: UploadRoom
  /** Whether its bytes must be on the disk before they are a blob. */
  sync: boolean
}

/** What of a pushed blob has come, in a file that grows at its end. */
export interface Draft {
  /** Bytes that are in the file. */
  readonly offset: number
  /** Something went wrong with the file or with what is known of it: it has to be opened anew. */
  readonly isSpoilt: boolean
  /** The disk may have lost bytes of it, which reading them again would not show. */
  readonly isBroken: boolean
  /** So many bytes in all are to come. @throws as {@link UploadRoom.expect} */
  expect(bytes: number): Promise<void>
  /** Takes a piece; the next has to wait for what is returned. */
  append(piece: Buffer): Promise<void> | undefined
  /** Settles when everything taken is in the file. */
  flush(): Promise<void>
  /** Forgets what came after the first `bytes`. The draft is spoilt then. */
  cutBack(bytes: number): Promise<void>
  /** Whether all of it together has this digest. */
  is(digest: Digest): Promise<boolean>
  /** Brings it to the disk. @returns the file of its extents' tags; a small blob has none */
  seal(): Promise<string | undefined>
  /** Nothing comes for a while: the room that was taken for more is given back. */
  rest(): void
  /** Leaves the file as it is, and gives back the room that was taken for more. */
  close(): Promise<void>
}

/** Reads what an earlier process has left of it. `undefined` when there is no such file. */
export async function openDraft(options: DraftOptions): Promise<Draft | undefined> {
  const handle = await unlessAbsent(open(options.file, options.isNew ? 'wx+' : 'r+', 0o600))
  if (!handle) return undefined
  try {
    return await createDraft(options, handle)
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function createDraft(
  { file, algorithm, room, sync }: DraftOptions,
  handle: FileHandle,
): Promise<Draft> {
  const hash = createHash(algorithm)
  const tags = createExtentTags({ key: createKey(), tags: [] })
  const lines = `${file}.extents`
  let hasLines = false
  let hashed = 0
  let offset = await readThrough(handle, note)
  const pending = createPieces()
  let writing: Promise<void> | undefined
  let failure: { error: unknown } | undefined
  room.rest(offset, Date.now())
  const watch = (work: Promise<void>) =>
    work.catch((error: unknown) => {
      failure ??= { error }
    })
  const syncer = createSyncer(sync, watch)
  const throwFailure = () => {
    if (failure) throw failure.error
  }

  function note(piece: Uint8Array): void {
    hash.update(piece)
    tags.update(hashed, piece)
    hashed += piece.length
  }

  async function store(batch: readonly Buffer[], count: number): Promise<void> {
    const making = room.reach(offset + count)
    if (making) await making
    await writeFully(handle, batch, count, offset)
    offset += count
    room.landed(count)
    syncer.after(count, handle)
  }
  async function write(
    before: Promise<void> | undefined,
    batch: readonly Buffer[],
    count: number,
  ): Promise<void> {
    await before
    throwFailure()
    const stored = watch(store(batch, count))
    // While the disk is at work.
    for (const piece of batch) note(piece)
    await stored
    throwFailure()
    batch.forEach(release)
  }
  function send(): Promise<void> | undefined {
    const before = writing
    const { bytes } = pending
    if (bytes > 0) {
      const sent = write(before, pending.take(), bytes)
      const done = () => {
        if (writing === sent) writing = undefined
      }
      writing = sent
      // Who comes next is told of a failure.
      sent.then(done, done)
    }
    return before
  }

  /** What was not sent to the disk is forgotten, and what was has got there or failed. */
  async function settle(): Promise<void> {
    pending.take()
    await writing?.catch(() => {})
    await syncer.settle()
  }

  return {
    get offset() {
      return offset
    },
    get isSpoilt() {
      return failure !== undefined
    },
    get isBroken() {
      return isDiskBroken(failure?.error)
    },
    expect: (bytes) => room.expect(bytes),
    append(piece) {
      throwFailure()
      pending.add(piece)
      return pending.bytes < batchBytes ? undefined : send()
    },
    async flush() {
      send()
      await writing
      throwFailure()
    },
    async cutBack(bytes) {
      await settle()
      failure = { error: new Error('what was known of this upload is not so any more') }
      await handle.truncate(bytes)
      offset = bytes
    },
    async is(digest) {
      if (algorithmOf(digest) === algorithm) return hash.copy().digest('hex') === hexOf(digest)
      const other = createHash(algorithmOf(digest))
      await readThrough(handle, (piece) => void other.update(piece))
      return other.digest('hex') === hexOf(digest)
    },
    async seal() {
      await syncer.settle()
      if (sync) await watch(handle.sync())
      throwFailure()
      if (offset <= extentBytes) return undefined
      hasLines = true
      await writeExtents(lines, tags.all(), `${lines}.draft`)
      return lines
    },
    rest: () => room.rest(offset, Date.now()),
    async close() {
      await settle()
      try {
        // A write that failed may have left some of its bytes.
        room.rest(failure ? (await handle.stat()).size : offset, Date.now())
      } finally {
        await handle.close()
      }
      if (hasLines) await rm(lines, { force: true })
    },
  }
}

/** @returns how many bytes there are */
async function readThrough(handle: FileHandle, take: (piece: Uint8Array) => void): Promise<number> {
  const { size } = await handle.stat()
  if (size === 0) return 0
  const buffer = Buffer.allocUnsafe(Math.min(size, readBytes))
  for (let position = 0; ; ) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
    if (bytesRead === 0) return position
    take(buffer.subarray(0, bytesRead))
    position += bytesRead
  }
}
