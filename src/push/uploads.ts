import { randomUUID } from 'node:crypto'
import { lstat, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { createTurns, type Turns } from '../flow/turns.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import type { UploadOutcome } from '../metrics/pushes.ts'
import type { Metrics } from '../metrics.ts'
import type { DigestAlgorithm } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { type Draft, openDraft } from './draft.ts'
import { createHeldUpload, type HeldUpload, type HeldUploadOptions } from './held-upload.ts'
import { createUploadRoom, type IdleUploads, type UploadRoom, type UploadsRoom } from './upload-room.ts'

/** Blobs on their way in, each a file of its own that outlives the process. */
export interface Uploads extends AsyncDisposable {
  /** @returns the id of a new one, of which nothing has come */
  begin(algorithm: DigestAlgorithm): Promise<string>
  /** How much of it is in its file; `undefined` when there is no such upload. */
  offset(id: string): Promise<number | undefined>
  /**
   * An upload is one request's at a time: who had it is told by {@link HeldUpload.lost}, since a client that comes again
   * has given up its first try. `undefined` when there is no such upload.
   */
  take(id: string, algorithm: DigestAlgorithm): Promise<HeldUpload | undefined>
  /** Drops those that nobody has gone on with for a day; also done now and then. */
  tidy(): Promise<void>
  /** Those that are dropped for others before that. */
  readonly idle: IdleUploads
  /** In the files of all of them. */
  bytes(): number
}

export interface UploadsOptions extends Pick<HeldUploadOptions, 'blobs' | 'metadata' | 'holds'> {
  directory: string
  room: UploadsRoom
  /** Whether what is acknowledged must be on the disk. */
  sync: boolean
  metrics: Pick<Metrics, 'uploadsBegun' | 'uploadsEnded'>
  onError(error: unknown): void
  now?: () => number
}

/** Uploads that nobody goes on with are dropped after a day, and when there is no room for others after an hour. */
const abandonedMs = 24 * 3_600_000
const idleMs = 3_600_000
const tidyMs = 10 * 60_000
/** Of which a file is open and the hash known, so that the next piece can follow at once. */
const mostResting = 64
const suffix = '.upload'

interface Known {
  turns: Turns
  /** Who has it, or waits for it. */
  users: number
  /** Of the request that has it. */
  holder?: AbortController
}

function takenOver(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'another request goes on with this upload' })
}

/** By its name a file of an upload is known: see coordination/data-directory.ts. What an earlier process left is counted. */
export async function openUploads(options: UploadsOptions): Promise<Uploads> {
  const { directory, blobs, metadata, holds, sync, metrics, onError, now = Date.now } = options
  const known = new Map<string, Known>()
  const rooms = new Map<string, UploadRoom>()
  const acknowledged = new LRUCache<string, number>({ max: 10_000 })
  const resting = new LRUCache<string, Draft>({
    max: mostResting,
    dispose: (draft, _, reason) => {
      if (reason === 'evict') draft.close().catch(onError)
    },
  })
  const fileOf = (id: string) => join(directory, `${id}${suffix}`)
  const timer = setInterval(() => void tidy().catch(onError), tidyMs).unref()
  await tidy().catch(onError)

  async function tidy(): Promise<void> {
    for (const name of await readdir(directory)) {
      const id = name.slice(0, -suffix.length)
      if (!name.endsWith(suffix) || known.has(id)) continue
      await inTurn(id, () => look(id, abandonedMs)).catch(onError)
    }
  }
  /** Drops it when nobody has gone on with it for so long. Nobody else is at work on it. */
  async function look(id: string, oldMs: number): Promise<void> {
    const stats = await unlessAbsent(lstat(fileOf(id)))
    if (!stats) return forget(id)
    if (!rooms.has(id) && stats.size > 0) roomOf(id).rest(stats.size, stats.mtimeMs)
    if (stats.mtimeMs >= now() - oldMs) return
    const draft = resting.get(id)
    resting.delete(id)
    await end(id, draft, 'abandoned')
  }
  function idleIds(): string[] {
    const before = now() - idleMs
    const idle = [...rooms].filter(([id, { restedAt }]) => restedAt < before && !known.has(id))
    return idle.sort(([, one], [, other]) => one.restedAt - other.restedAt).map(([id]) => id)
  }
  const bytesOf = (ids: readonly string[]) => ids.reduce((sum, id) => sum + (rooms.get(id)?.bytes ?? 0), 0)
  async function dropIdle(bytes: number): Promise<number> {
    let dropped = 0
    for (const id of idleIds()) {
      if (dropped >= bytes) break
      const before = bytesOf([id])
      if (!known.has(id)) await inTurn(id, () => look(id, idleMs))
      dropped += before - bytesOf([id])
    }
    return dropped
  }
  /** One after another for each upload. */
  async function inTurn<Value>(id: string, work: (entry: Known) => Promise<Value>): Promise<Value> {
    const entry = known.get(id) ?? { turns: createTurns(), users: 0 }
    known.set(id, entry)
    entry.users += 1
    return entry.turns.take(async () => {
      try {
        return await work(entry)
      } finally {
        entry.users -= 1
        if (entry.users === 0) known.delete(id)
      }
    })
  }
  function roomOf(id: string): UploadRoom {
    const room = rooms.get(id) ?? createUploadRoom(options.room)
    rooms.set(id, room)
    return room
  }
  /** Its file is not there any more. */
  function forget(id: string): void {
    rooms.get(id)?.rest(0, now())
    rooms.delete(id)
  }
  async function openOf(id: string, algorithm: DigestAlgorithm): Promise<Draft | undefined> {
    const rested = resting.get(id)
    resting.delete(id)
    if (rested) return rested
    const draft = await openDraft({ file: fileOf(id), algorithm, room: roomOf(id), sync })
    if (!draft) forget(id)
    return draft
  }

  async function rest(id: string, draft: Draft): Promise<void> {
    await draft.flush().catch(() => {})
    draft.rest()
    if (draft.isBroken) await end(id, draft, 'failed')
    else if (draft.isSpoilt || draft.offset === 0) await draft.close()
    else resting.set(id, draft)
  }
  async function end(id: string, draft: Draft | undefined, outcome: UploadOutcome): Promise<void> {
    metrics.uploadsEnded.inc({ outcome })
    acknowledged.delete(id)
    try {
      // What was pushed has another name now. What cannot be removed is still there, and is counted.
      if (outcome !== 'pushed') await rm(fileOf(id), { force: true, recursive: true })
    } finally {
      await draft?.close()
    }
    forget(id)
  }

  /** @param leave gives the upload to the next */
  function hold(id: string, algorithm: DigestAlgorithm, draft: Draft, lost: AbortSignal, leave: () => void) {
    return createHeldUpload({
      ...{ draft, lost, leave, blobs, metadata, holds, file: fileOf(id) },
      acknowledged: {
        get: () => acknowledged.get(id) ?? 0,
        set: (bytes) => void acknowledged.set(id, bytes),
      },
      reopen: () => openOf(id, algorithm),
      rest: (left) => rest(id, left),
      async end(ended, outcome) {
        const { offset } = ended
        await end(id, ended, outcome)
        if (outcome === 'pushed') options.room.kept(offset)
      },
    })
  }

  return {
    async begin(algorithm) {
      const id = randomUUID()
      const draft = await openDraft({ file: fileOf(id), isNew: true, algorithm, room: roomOf(id), sync })
      if (draft) resting.set(id, draft)
      metrics.uploadsBegun.inc()
      return id
    },
    async offset(id) {
      const draft = resting.get(id)
      return draft?.offset ?? (await unlessAbsent(stat(fileOf(id))))?.size
    },
    take(id, algorithm) {
      known.get(id)?.holder?.abort(takenOver())
      const got = Promise.withResolvers<HeldUpload | undefined>()
      inTurn(id, async (entry) => {
        const holder = new AbortController()
        entry.holder = holder
        if (entry.users > 1) holder.abort(takenOver())
        const over = Promise.withResolvers<void>()
        const draft = await openOf(id, algorithm)
        got.resolve(draft && hold(id, algorithm, draft, holder.signal, over.resolve))
        if (draft) await over.promise
        delete entry.holder
      }).catch(got.reject)
      return got.promise
    },
    tidy,
    idle: {
      get bytes() {
        return bytesOf(idleIds())
      },
      drop: dropIdle,
    },
    bytes: () => bytesOf([...rooms.keys()]),
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      const drafts = [...resting.values()]
      resting.clear()
      await Promise.all(drafts.map((draft) => draft.close()))
    },
  }
}
