import type { Hash } from 'node:crypto'
import { type FileHandle, open, rm, writeFile } from 'node:fs/promises'
import type { BlobStore, Lent } from '../blobs/blob-store.ts'
import { createKey, extentBytes, textOf } from '../blobs/extents.ts'
import { isDiskFull } from '../flow/disk-trouble.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import type { Digest } from '../oci/digest.ts'
import { type Coverage, createCoverage } from './coverage.ts'
import { createExtentTags, type ExtentTags } from './extent-tags.ts'
import type { Loans } from './in-flight.ts'
import { createMarksFile, cutBack } from './marks.ts'
import { createRoomOfBlob, type Room } from './room.ts'
import { salvage } from './salvage.ts'
import { createSyncer } from './syncer.ts'
import { createTail } from './tail.ts'
import { createWholeHash, type WholeHash } from './whole-hash.ts'
import { writeFully } from './write-fully.ts'

const catchUpBytes = 1024 * 1024

export interface PartOptions {
  digest: Digest
  /** The file that grows; what an earlier process left there is checked and kept. */
  file: string
  /** Beside it: the tags of the extents that have landed. */
  marks: string
  /** The size that a manifest states, where one is known. */
  statedSize?: number
  /** What is left of the blob from a time when it was here. */
  spoilt: BlobStore['spoilt']
  /** Where it is kept. */
  room: Room
  /** Of its last bytes, to readers. */
  loans: Loans
  /** Whether its bytes must be on the disk before they are a blob. */
  sync: boolean
}

/** A growing file, what of it is there, and by what that is known. */
export interface Part {
  /** `undefined` on a disk that takes no file. */
  readonly handle: FileHandle | undefined
  readonly coverage: Pick<Coverage, 'bytes' | 'end' | 'endFrom' | 'gapFrom'>
  /** The blob's. */
  size: number | undefined
  /**
   * Puts `count` bytes into a gap. They are there for readers when it resolves.
   * @param release called when their memory may be used for others, if ever
   */
  write(position: number, batch: readonly Buffer[], count: number, release?: () => void): Promise<void>
  /** Reads up to `length` bytes of what is there. @returns how many */
  read(buffer: Buffer, length: number, position: number): Promise<number>
  /** See {@link Growing.lend}. */
  lend(position: number, length: number): Lent | undefined
  /** The digest of the whole, when all of it is there. */
  digestHex(): Promise<string>
  /** Brings it to the disk. @returns the file of its extents' tags; a small blob has none */
  seal(): Promise<string | undefined>
  /** The sealed file is a blob now. */
  adopted(): Promise<void>
  /** From where on the whole can be proven without its first bytes, when the disk takes no more. */
  seen(): Promise<Seen>
  discard(): Promise<void>
  /** Nothing is written for a while: what it keeps in memory goes. */
  rest(): void
  /** Leaves `handle` open: readers may hold it. */
  end(): Promise<void>
}

export interface Seen {
  /** Everything before it was hashed. */
  offset: number
  hash: Hash
  /** The bytes from the end of the file's contiguous part up to `offset`, when the disk did not take them. */
  refused: { start: number; bytes: Buffer } | undefined
}

export async function openPart(options: PartOptions): Promise<Part> {
  const { digest, statedSize } = options
  const whole = createWholeHash(digest)
  const opened = await openFile(options)
  if (!opened.isOld || !opened.handle) {
    const tags = createExtentTags({ key: createKey(), tags: [] })
    return createPart(options, opened, { whole, tags, coverage: createCoverage() })
  }
  try {
    const { coverage, extents } = await cutBack(opened.handle, options.marks, statedSize, whole.update)
    return createPart(options, opened, { whole, tags: createExtentTags(extents), coverage })
  } catch (error) {
    await opened.handle.close()
    throw error
  }
}

interface Opened {
  handle?: FileHandle
  isOld: boolean
  /** Why there is no handle. */
  refusal?: unknown
}

async function openFile({ digest, file, marks, spoilt }: PartOptions): Promise<Opened> {
  const known = await unlessAbsent(open(file, 'r+'))
  if (known) return { handle: known, isOld: true }
  const left = await spoilt(digest)
  if (left) await salvage(left, file, marks)
  const salvaged = left && (await unlessAbsent(open(file, 'r+')))
  if (salvaged) return { handle: salvaged, isOld: true }
  await rm(marks, { force: true })
  try {
    return { handle: await open(file, 'wx+', 0o600), isOld: false }
  } catch (refusal) {
    if (!isDiskFull(refusal)) throw refusal
    return { isOld: false, refusal }
  }
}

interface Known {
  whole: WholeHash
  tags: ExtentTags
  coverage: Coverage
}

function createPart(options: PartOptions, { handle, refusal }: Opened, known: Known): Part {
  const { whole, tags, coverage } = known
  const tail = createTail(options.loans)
  const lines = `${options.file}.extents`
  let refused: Seen['refused']
  let behind: Promise<void> | undefined
  let failure: { error: unknown } | undefined

  /** Never rejects; who writes next, or wants the digest, is told. */
  const inBackground = (work: Promise<void>) =>
    work.catch((error: unknown) => {
      failure ??= { error }
    })
  const throwFailure = () => {
    if (failure) throw failure.error
  }
  const marks = createMarksFile(options.marks, tags.key, inBackground)
  const hash = (position: number, bytes: Uint8Array) => {
    tags.update(position, bytes)
    whole.update(position, bytes)
  }

  /** Bytes that came out of order are read again, for the hash of the whole. */
  async function catchUp(file: FileHandle): Promise<void> {
    const buffer = Buffer.allocUnsafe(catchUpBytes)
    for (let end = coverage.endFrom(whole.offset); end > whole.offset; end = coverage.endFrom(whole.offset)) {
      const position = whole.offset
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - position), position)
      if (bytesRead === 0) throw new Error(`a growing file ended at ${position} of ${end}`)
      hash(position, buffer.subarray(0, bytesRead))
    }
  }
  function follow(file: FileHandle): void {
    if (behind || coverage.endFrom(whole.offset) === whole.offset) return
    behind = inBackground(catchUp(file)).then(() => {
      behind = undefined
      if (!failure) follow(file)
    })
  }
  const syncer = createSyncer(options.sync, inBackground)
  const room = createRoomOfBlob(options.room, () => part.size, coverage.bytes)
  async function store(position: number, batch: readonly Buffer[], count: number): Promise<void> {
    if (!handle) throw refusal
    const making = room.reach(position + count)
    // Not a turn later: the disk shall be at work while the bytes are hashed.
    if (making) await making
    await writeFully(handle, batch, count, position)
  }

  const part: Part = {
    handle,
    coverage,
    size: options.statedSize,
    async write(position, batch, count, release = () => {}) {
      throwFailure()
      const written = store(position, batch, count)
      written.catch(() => {})
      let at = position
      for (const chunk of batch) {
        hash(at, chunk)
        at += chunk.length
      }
      try {
        await written
      } catch (error) {
        if (whole.offset === position + count) refused = { start: position, bytes: Buffer.concat(batch) }
        throw error
      }
      room.landed(count)
      marks.note(tags.takeMarks())
      coverage.add({ start: position, end: position + count })
      tail.keep(position, batch, release)
      if (!handle) return
      follow(handle)
      syncer.after(count, handle)
    },
    async read(buffer, length, position) {
      const copied = tail.copy(buffer, length, position)
      if (copied > 0) return copied
      if (!handle) throw new Error('bytes are read from a file that is not there')
      return (await handle.read(buffer, 0, length, position)).bytesRead
    },
    lend: tail.lend,
    async digestHex() {
      await behind
      throwFailure()
      return whole.digestHex()
    },
    async seal() {
      await syncer.settle()
      throwFailure()
      if (options.sync) await handle?.sync()
      if ((part.size ?? 0) <= extentBytes) return undefined
      // In a file of their own: a node that is killed now goes on by the marks.
      await writeFile(lines, textOf(tags.all()), { mode: 0o600 })
      return lines
    },
    async adopted() {
      room.end()
      options.room.kept(part.size ?? 0)
      await marks.abandon()
      await rm(options.marks, { force: true })
    },
    async seen() {
      await behind
      const landed = coverage.endFrom(0)
      const isKnown = whole.offset === landed || refused?.start === landed
      // Two writes that failed side by side: nobody holds all that was hashed.
      if (!isKnown) return { offset: 0, hash: createWholeHash(options.digest).copy(), refused: undefined }
      return { offset: whole.offset, hash: whole.copy(), refused }
    },
    rest: tail.drop,
    async discard() {
      await marks.abandon()
      await Promise.all([options.file, options.marks, lines].map((file) => rm(file, { force: true })))
    },
    async end() {
      room.end()
      tail.drop()
      await behind
      await syncer.settle()
      await marks.close()
    },
  }
  return part
}
