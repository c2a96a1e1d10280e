import type { BlobStore } from '../blobs/blob-store.ts'
import type { Holds } from '../flow/holds.ts'
import { messageOf } from '../flow/message-of.ts'
import type { Stored } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'

/** What a look at everything that is stored tells, as it goes. */
export type FsckEvent =
  | ({ kind: 'progress' } & FsckSums)
  | { kind: 'found'; digest: Digest; what: FsckFinding; mended: boolean; reason?: string }
  | ({ kind: 'end' } & FsckSums)

/** `unknown`: its bytes are here, and nothing says why. */
export type FsckFinding = 'rotten' | 'absent' | 'unknown'

export interface FsckSums {
  checked: number
  /** Of what was checked. */
  bytes: number
  /** Of all that is to be checked. */
  ofBytes: number
  rotten: number
  absent: number
  unknown: number
  mended: number
}

export interface FsckOptions {
  stored: Pick<Stored, 'all' | 'held' | 'bytes' | 'checked' | 'now'>
  blobs: Pick<BlobStore, 'check' | 'list' | 'remove'>
  holds: Pick<Holds<Digest>, 'claim'>
  heal(digest: Digest, signal: AbortSignal): Promise<boolean>
}

const pageRows = 500

/**
 * Reads every stored byte, and looks for files that nothing knows of.
 * @param repair what is rotten or absent is fetched again, what nothing knows of is removed
 */
export async function* fsck(
  { stored, blobs, holds, heal }: FsckOptions,
  repair: boolean,
  signal: AbortSignal,
): AsyncGenerator<FsckEvent, void> {
  const sums: FsckSums = {
    ...{ checked: 0, bytes: 0, ofBytes: await stored.bytes() },
    ...{ rotten: 0, absent: 0, unknown: 0, mended: 0 },
  }
  const pace = async (count: number) => {
    sums.bytes += count
  }
  function found(digest: Digest, what: FsckFinding, mended: boolean, reason?: string): FsckEvent {
    sums[what] += 1
    if (mended) sums.mended += 1
    return { kind: 'found', digest, what, mended, ...(reason !== undefined && { reason }) }
  }

  async function mend(digest: Digest): Promise<{ mended: boolean; reason?: string }> {
    if (!repair) return { mended: false }
    try {
      return { mended: await heal(digest, signal) }
    } catch (error) {
      signal.throwIfAborted()
      return { mended: false, reason: messageOf(error) }
    }
  }

  for (let page = await stored.all(undefined, pageRows); ; page = await stored.all(page.at(-1), pageRows)) {
    const right: Digest[] = []
    for (const digest of page) {
      const what = await blobs.check(digest, pace, signal)
      sums.checked += 1
      if (what === 'right') right.push(digest)
      else {
        const { mended, reason } = await mend(digest)
        yield found(digest, what, mended, reason)
      }
      yield { kind: 'progress', ...sums }
    }
    await stored.checked(right, stored.now())
    if (page.length < pageRows) break
  }

  for await (const digest of blobs.list(signal)) {
    // Held while it is being written, and then known.
    using claim = holds.claim([digest])
    if (claim.keys.size === 0 || (await stored.held([digest])).length > 0) continue
    if (repair) await blobs.remove(digest)
    yield found(digest, 'unknown', repair)
  }
  yield { kind: 'end', ...sums }
}
