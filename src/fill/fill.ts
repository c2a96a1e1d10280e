import { type FileHandle, open, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Growing } from '../blobs/blob-store.ts'
import { errorCodeOf } from '../flow/error-code.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { type BlobOffset, type BlobStream, UpstreamError } from '../upstream/registry-client.ts'
import { appendExtents, createFrontier, extentBytes, type Frontier, recoverFrontier } from './extents.ts'
import { createGrowth, type Growth, heldBackBytes } from './growth.ts'
import { type Landing, land } from './land.ts'

/** Where a fill gets its bytes. Called again, further on, after a break. */
export type OpenUpstream = (from: BlobOffset, signal: AbortSignal) => Promise<BlobStream>

export interface FillOptions {
  digest: Digest
  /** The file that grows; what an earlier process left there is checked and kept. */
  part: string
  extents: string
  /** The size that a manifest states, where one is known. */
  statedSize?: number
  upstream: OpenUpstream
  /** Whether the file must be on the disk before it is committed. */
  sync: boolean
  /** Makes the verified, synced file the blob. */
  commit(part: string, extents: string | undefined, size: number): Promise<void>
  onBytes?(count: number): void
}

/** One download of one blob, which any number of readers follow. It ends by itself, whoever leaves. */
export interface Fill {
  readonly digest: Digest
  /** Resolves with the blob's size when upstream has said that it has the blob. */
  readonly head: Promise<number>
  /** Resolves when the blob is kept. Rejects with why it could not be. */
  readonly done: Promise<void>
  /** `undefined` once the growing file is closed: then `done` tells how it ended. */
  reader(): Growing | undefined
}

/** How long to wait before each try in a row that has brought no byte. An upstream that restarts is back within these. */
const backoffMs = [0, 1000, 2000, 4000]
const maxPauseMs = 10_000

/** Starts at once. `signal` ends it; what has landed stays for the next one. */
export function createFill(options: FillOptions, signal: AbortSignal): Fill {
  const head = Promise.withResolvers<number>()
  const growth = createGrowth()
  const done = run(options, growth, head.resolve, signal).catch((error: unknown) => {
    head.reject(error)
    growth.fail(error)
    throw error
  })
  head.promise.catch(() => {})
  done.catch(() => {})
  return { digest: options.digest, head: head.promise, done, reader: growth.reader }
}

async function run(
  options: FillOptions,
  growth: Growth,
  headIs: (size: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { handle, frontier } = await openPart(options)
  growth.attach(handle)
  try {
    const landing: Landing = {
      handle,
      frontier,
      size: options.statedSize,
      onArrived: options.onBytes,
      async onLanded() {
        growth.advance(frontier.offset)
        await appendExtents(options.extents, frontier.takeFinished())
      },
    }
    const size = await follow(options, landing, signal, (known) => {
      growth.sizeIs(known)
      growth.advance(frontier.offset)
      // What is held back whole has no head that could be said before its proof.
      if (known > heldBackBytes) headIs(known)
    })
    await proveAndCommit(options, landing, size)
    growth.complete(size)
    headIs(size)
  } catch (error) {
    // Nothing is built upon what an upstream sent that says what cannot be true, and an empty part is no start.
    const isLie = error instanceof UpstreamError && error.kind === 'lying'
    if (frontier.offset === 0 || isLie || isDiskFull(error)) await discardPart(options)
    throw error
  } finally {
    growth.detach()
  }
}

async function openPart({ part, extents, digest, statedSize }: FillOptions): Promise<{
  handle: FileHandle
  frontier: Frontier
}> {
  const known = await unlessAbsent(open(part, 'r+'))
  if (!known) {
    await rm(extents, { force: true })
    return { handle: await open(part, 'wx+', 0o600), frontier: createFrontier(digest) }
  }
  try {
    return { handle: known, frontier: await recoverFrontier(known, extents, digest, statedSize) }
  } catch (error) {
    await known.close()
    throw error
  }
}

/** Brings bytes until all are there, through as many connections as it takes. @returns the blob's size */
async function follow(
  options: FillOptions,
  landing: Landing,
  signal: AbortSignal,
  sizeIs: (size: number) => void,
): Promise<number> {
  const { frontier } = landing
  let etag: string | undefined
  let accepted = false
  for (let fruitless = 0; ; ) {
    const before = frontier.offset
    try {
      const stream = await options.upstream({ offset: before, etag }, signal)
      etag = stream.etag
      landing.size = agreedSize(landing.size, stream)
      accepted = true
      if (landing.size !== undefined) sizeIs(landing.size)
      await land(landing, stream, signal)
      if (landing.size === undefined || frontier.offset === landing.size) return frontier.offset
      throw new UpstreamError('down', `upstream ended after ${frontier.offset} of ${landing.size} bytes`)
    } catch (error) {
      signal.throwIfAborted()
      // Before upstream has said yes, the one who asks is told at once; after it, nobody need notice the break.
      if (!accepted || !isPassing(error)) throw error
      fruitless = frontier.offset > before ? 0 : fruitless + 1
      const pauseMs = backoffMs[fruitless]
      if (pauseMs === undefined) throw error
      await sleep(Math.max(pauseMs, Math.min(error.retryAfterMs ?? 0, maxPauseMs)), undefined, { signal })
    }
  }
}

async function proveAndCommit(options: FillOptions, landing: Landing, size: number): Promise<void> {
  const { digest, part, extents } = options
  const { frontier, handle } = landing
  const got = frontier.digestHex()
  if (got !== hexOf(digest)) {
    throw new UpstreamError('lying', `upstream sent ${algorithmOf(digest)}:${got} for ${digest}`)
  }
  await appendExtents(extents, size > extentBytes ? frontier.takeFinished() : [])
  if (size <= extentBytes) await rm(extents, { force: true })
  if (options.sync) await handle.sync()
  await options.commit(part, size > extentBytes ? extents : undefined, size)
}

async function discardPart({ part, extents }: FillOptions): Promise<void> {
  await Promise.all([rm(part, { force: true }), rm(extents, { force: true })])
}

function agreedSize(stated: number | undefined, stream: BlobStream): number | undefined {
  if (stated !== undefined && stream.size !== undefined && stated !== stream.size) {
    stream.body.destroy()
    throw new UpstreamError(
      'lying',
      `upstream says the blob has ${stream.size} bytes, its manifest says ${stated}`,
    )
  }
  return stated ?? stream.size
}

/** What is kept of it then would keep others from being kept. */
function isDiskFull(error: unknown): boolean {
  const code = errorCodeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function isPassing(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && (error.kind === 'down' || error.kind === 'limited')
}
