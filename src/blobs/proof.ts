import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { createSingleFlight } from '../flow/single-flight.ts'
import type { Slots } from '../flow/slots.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { BlobLostError } from './blob-store.ts'
import {
  createExtentTag,
  createKey,
  type Extents,
  extentBytes,
  extentCountOf,
  readExtents,
} from './extents.ts'
import { type Identity, isUnwritten } from './identity.ts'

/** Which bytes of a stored file are known to be its digest's, shared by all who read the file. */
export interface Proof {
  readonly identity: Identity
  /** About what it takes of memory. */
  readonly memoryBytes: number
  /** Every byte is. */
  readonly isWhole: boolean
  /** Where the proven bytes that begin at `position` end; `position` itself where none do. */
  provenFrom(position: number): number
  /**
   * Proves the extent that holds `position`, whose end it returns. Goes on to its end whoever leaves: `handle`, which
   * is the same file, stays open until then.
   * @throws BlobLostError when the bytes are others, after `onRotten`
   */
  prove(position: number, handle: FileHandle): Promise<number>
}

export interface ProofOptions {
  digest: Digest
  identity: Identity
  /** The file of the extents' tags, if there is one. */
  extents: string
  /** Of those who hash at the same time. */
  slots: Slots
  /** Ends what is under way. */
  lifetime: AbortSignal
  /** Every byte is proven; `extents` when those beside the blob were none or others. */
  onWhole(extents: Extents | undefined): Promise<void>
  /** The bytes are others: takes the file out of the way. Called again by who asks after it has failed. */
  onRotten(): Promise<void>
}

/** A tag, as a text in memory, and whether its extent is proven. */
const tagBytes = 64

/** A piece is hashed between two turns of the event loop. */
const pieceBytes = 256 * 1024

/** What takes bytes in order. */
interface Taker {
  update(bytes: Uint8Array): unknown
}

/** An extent is compared with its tag; where that does not agree, the whole file has to answer to the digest. */
export function createProof(options: ProofOptions): Proof {
  const { digest, identity, lifetime } = options
  const size = Number(identity.size)
  const count = extentCountOf(size)
  const proven = new Uint8Array(count)
  const flight = createSingleFlight<void>()
  let left = count
  let isRotten = false
  let noted: Promise<Extents | undefined> | undefined

  const endOf = (extent: number) => Math.min((extent + 1) * extentBytes, size)

  async function read(extent: number, handle: FileHandle, ...takers: Taker[]): Promise<void> {
    const release = await options.slots.acquire(lifetime)
    try {
      const buffer = Buffer.allocUnsafe(pieceBytes)
      for (let at = extent * extentBytes; at < endOf(extent); ) {
        lifetime.throwIfAborted()
        const { bytesRead } = await handle.read(buffer, 0, Math.min(pieceBytes, endOf(extent) - at), at)
        if (bytesRead === 0) break
        for (const each of takers) each.update(buffer.subarray(0, bytesRead))
        at += bytesRead
      }
    } finally {
      release()
    }
    if (!isUnwritten(identity, await handle.stat({ bigint: true })))
      throw new BlobLostError(`the file of ${digest} was written to while it was read`)
  }

  async function proveByTag(extent: number, handle: FileHandle): Promise<boolean> {
    // The one tag of a single extent would say no more than the digest.
    if (count > 1) noted ??= readExtents(options.extents, size)
    const known = await noted
    const hex = known?.tags[extent]
    if (!known || hex === undefined) return false
    const tag = createExtentTag(known.key, extent)
    await read(extent, handle, tag)
    return tag.hex() === hex
  }

  async function proveWhole(handle: FileHandle): Promise<void> {
    if (left === 0) return
    const whole = createHash(algorithmOf(digest))
    const key = createKey()
    const tags: string[] = []
    for (let extent = 0; extent < count; extent++) {
      const tag = createExtentTag(key, extent)
      await read(extent, handle, whole, tag)
      tags.push(tag.hex())
    }
    if (whole.digest('hex') !== hexOf(digest)) return reject()
    left = 0
    await options.onWhole(count > 1 ? { key, tags } : undefined)
  }

  async function reject(): Promise<never> {
    isRotten = true
    await options.onRotten()
    throw new BlobLostError(`the bytes that were stored as ${digest} are others`)
  }

  async function proveExtent(extent: number, handle: FileHandle): Promise<void> {
    if (!(await proveByTag(extent, handle))) return flight('whole', () => proveWhole(handle))
    if (left === 0) return
    proven[extent] = 1
    left -= 1
    if (left === 0) await options.onWhole(undefined)
  }

  return {
    identity,
    memoryBytes: 1024 + count * tagBytes,
    get isWhole() {
      return left === 0
    },
    provenFrom(position) {
      if (left === 0) return size
      const extent = Math.floor(position / extentBytes)
      return proven[extent] ? endOf(extent) : position
    },
    async prove(position, handle) {
      const extent = Math.floor(position / extentBytes)
      if (isRotten) await flight('whole', reject)
      if (left > 0 && !proven[extent]) await flight(String(extent), () => proveExtent(extent, handle))
      return endOf(extent)
    },
  }
}
