import type { FileHandle } from 'node:fs/promises'
import type { Digest } from '../oci/digest.ts'

/** Bytes by digest. A blob is either wholly there and correct, or absent. */
export interface BlobStore {
  /** `undefined` when absent; throws only when the backend fails. */
  find(digest: Digest): Promise<FoundBlob | undefined>
  /** Keeps `bytes`, whose digest the caller has proven, so that they survive a power cut. */
  write(digest: Digest, bytes: Uint8Array): Promise<void>
  /** A finished, verified and synced file becomes the blob by rename; `extents` (see blobs/extents.ts) goes with it. */
  adopt(digest: Digest, file: string, extents?: string): Promise<void>
  /**
   * Reads all of it, whatever is known of it: other bytes are put aside, as if a reader had found them.
   * @param pace is waited for after each piece of so many bytes
   */
  check(
    digest: Digest,
    pace: (count: number) => Promise<void>,
    signal: AbortSignal,
  ): Promise<'right' | 'rotten' | 'absent'>
  /** What is left of a blob whose bytes turned out to be others; `undefined` where there is nothing to mend. */
  spoilt(digest: Digest): Promise<SpoiltBlob | undefined>
  /** Everything that is here, in no order; what comes and goes meanwhile may be among it. */
  list(signal: AbortSignal): AsyncIterable<Digest>
  /**
   * Its bytes go; who has opened it reads on. Nothing happens where it is absent.
   * @param size where it is known, what only larger ones have is not looked for
   */
  remove(digest: Digest, size?: number): Promise<void>
}

/** Files of which some extents may still be right. */
export interface SpoiltBlob {
  file: string
  /** The tags of its extents, as they were when it was whole: see blobs/extents.ts. */
  extents: string
}

/** Found is not opened: HEAD and access checks stop here. */
export interface FoundBlob {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  /** @throws BlobLostError when it is not there after all. */
  open(signal: AbortSignal): Promise<OpenBlob>
}

/** A blob that was found has gone, or its bytes turned out to be others: who looks again finds it absent. */
export class BlobLostError extends Error {
  override readonly name = 'BlobLostError'
  readonly kind = 'lost'
}

/** What was found and could not be had after all is absent. */
export async function unlessLost<Value>(work: Promise<Value>): Promise<Value | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof BlobLostError) return undefined
    throw error
  }
}

export type OpenBlob =
  /** The reader closes `handle`. It stays readable when the blob is evicted meanwhile. */
  | { kind: 'file'; handle: FileHandle; size: number }
  /** The reader releases `growing`. */
  | { kind: 'growing'; growing: Growing; size: number }
  /** All of it is here, and proven while it is read, in any order. The reader releases `growing`. */
  | { kind: 'unproven'; growing: Growing; size: number }
  | { kind: 'bytes'; bytes: Uint8Array; size: number }

/** A blob that is still on its way, or yet to be proven, seen by one reader. */
export interface Growing {
  /**
   * Waits until a byte at `position` may be given away.
   * @returns the offset up to which bytes may be given away now, greater than `position`.
   * @throws when the rest will not come or is wrong: what was handed out so far must not be completed.
   */
  readableFrom(position: number, signal: AbortSignal): Promise<number>
  /** Reads up to `length` bytes that {@link readableFrom} has allowed. @returns how many */
  read(buffer: Buffer, length: number, position: number): Promise<number>
  /**
   * Up to `length` bytes that {@link readableFrom} has allowed, where they still are in memory: nobody writes to them until
   * they are given back.
   */
  lend?(position: number, length: number): Lent | undefined
  release(): void
}

export interface Lent {
  readonly pieces: readonly Buffer[]
  giveBack(): void
}
