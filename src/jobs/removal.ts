import type { BlobStore } from '../blobs/blob-store.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Holds } from '../flow/holds.ts'
import type { HeldRow, Stored } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Usage } from './usage.ts'

/** How what is stored goes: while nobody reads it, and nobody is about to point to it. */
export interface Removal {
  /** @param rows claimed by who calls. @returns those that went */
  remove(rows: readonly HeldRow[]): Promise<HeldRow[]>
  /** See what `Space` says of it. */
  giveUp(digests: readonly Digest[], reasons: ReasonsToStay, dry: boolean): Promise<GivenUp>
}

/** By digest. */
export type ReasonsToStay = (rows: readonly HeldRow[]) => Promise<ReadonlyMap<Digest, string>>

export interface GivenUp {
  gone: readonly HeldRow[]
  /** What is stored of the others, and why it was not given up. */
  stay: ReadonlyMap<Digest, { size: number; why: string }>
}

export interface RemovalOptions {
  stored: Pick<Stored, 'held' | 'remove'>
  blobs: Pick<BlobStore, 'remove'>
  usage: Pick<Usage, 'isInUse'>
  holds: Pick<Holds<Digest>, 'claim'>
  /** From then on nothing more goes. */
  isClosed(): boolean
  onRemoved(rows: readonly HeldRow[]): void
  onError(error: unknown): void
}

/** Why something is not given up that nobody means to keep. */
const staysWhile = {
  inUse: 'it is being read',
  held: 'it is being fetched or pushed',
  stuck: 'its file could not be removed',
} as const

export function createRemoval(options: RemovalOptions): Removal {
  const { stored, blobs, usage, holds, isClosed, onRemoved, onError } = options

  async function giveUp(digests: readonly Digest[], reasons: ReasonsToStay, dry: boolean): Promise<GivenUp> {
    if (isClosed()) throw new Error('the node is stopping')
    const inUse = new Set(digests.filter(usage.isInUse))
    using claim = holds.claim(digests.filter((digest) => !inUse.has(digest)))
    const held = await stored.held(digests)
    const why = await reasons(held.filter(({ digest }) => claim.keys.has(digest)))
    const going = held.filter(({ digest }) => claim.keys.has(digest) && !why.has(digest))
    const gone = dry ? going : await remove(going)
    const hasGone = new Set(gone.map(({ digest }) => digest))
    const reasonOf = (digest: Digest) => {
      if (inUse.has(digest) || usage.isInUse(digest)) return staysWhile.inUse
      return why.get(digest) ?? (claim.keys.has(digest) ? staysWhile.stuck : staysWhile.held)
    }
    const left = held.filter(({ digest }) => !hasGone.has(digest))
    return { gone, stay: new Map(left.map(({ digest, size }) => [digest, { size, why: reasonOf(digest) }])) }
  }

  /** The bytes first: a link to what is not there is a reason to fetch it, a file without a link is lost. */
  async function remove(rows: readonly HeldRow[]): Promise<HeldRow[]> {
    if (rows.length === 0) return []
    failpoint('before-unlink')
    const removed: HeldRow[] = []
    let failure: { error: unknown } | undefined
    for (const row of rows) {
      if (isClosed()) break
      if (usage.isInUse(row.digest)) continue
      try {
        await blobs.remove(row.digest, row.size || undefined)
        removed.push(row)
      } catch (error) {
        failure = { error }
      }
      failpoint('amid-unlinks')
    }
    failpoint('after-unlinks')
    if (failure) onError(failure.error)
    if (removed.length === 0) return []
    await stored.remove(removed)
    onRemoved(removed)
    return removed
  }

  return { remove, giveUp }
}
