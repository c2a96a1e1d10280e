import { randomUUID } from 'node:crypto'
import { open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Room } from '../fill/room.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Holds } from '../flow/holds.ts'
import { createTurns, type Turns } from '../flow/turns.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type Draft, openDraft } from './draft.ts'

/** Blobs on their way in, each a file of its own that outlives the process. */
export interface Uploads extends AsyncDisposable {
  /** @returns the id of a new one, of which nothing has come */
  begin(): Promise<string>
  /** How much of it is in its file; `undefined` when there is no such upload. */
  offset(id: string): Promise<number | undefined>
  /**
   * An upload is one request's at a time: who had it is told by {@link HeldUpload.lost}, since a client that comes again
   * has given up its first try. `undefined` when there is no such upload.
   */
  take(id: string, algorithm: DigestAlgorithm): Promise<HeldUpload | undefined>
}

/** Disposing it leaves what has come for the next request. */
export interface HeldUpload extends AsyncDisposable, Pick<Draft, 'offset' | 'append' | 'flush' | 'expect'> {
  /** Aborts when another request wants it. */
  readonly lost: AbortSignal
  /** The client has been told that everything before it is here. Of an earlier process' uploads not known, and 0. */
  readonly acknowledged: number
  acknowledge(): void
  /** Forgets what came after the first `bytes`; what follows is as of a new request. */
  cutBack(bytes: number): Promise<void>
  /**
   * It becomes a blob of `repository`, durable when this resolves. Whatever happens, the upload is over.
   * @throws RegistryError `DIGEST_INVALID`
   */
  commit(repository: RepositoryName, digest: Digest): Promise<void>
  /** It is over, and nothing is left of it. */
  cancel(): Promise<void>
}

export interface UploadsOptions {
  directory: string
  blobs: Pick<BlobStore, 'adopt'>
  metadata: Pick<Metadata, 'recordBlob'>
  holds: Pick<Holds<Digest>, 'hold'>
  room: Room
  /** Whether what is acknowledged must be on the disk. */
  sync: boolean
  onError(error: unknown): void
  now?: () => number
}

/** Uploads that nobody goes on with are dropped after a day. */
const abandonedMs = 24 * 3_600_000
const tidyMs = 10 * 60_000
/** Of which a file is open and the hash known, so that the next piece can follow at once. */
const mostResting = 64
const suffix = '.upload'

interface Known {
  turns: Turns
  /** Requests that have it, or wait for it. */
  users: number
  /** Of the one that has it. */
  holder?: AbortController
}

function takenOver(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'another request goes on with this upload' })
}

/** By its name a file of an upload is known: see coordination/data-directory.ts. */
export function createUploads(options: UploadsOptions): Uploads {
  const { directory, room, sync, onError, now = Date.now } = options
  const known = new Map<string, Known>()
  const acknowledged = new LRUCache<string, number>({ max: 10_000 })
  const resting = new LRUCache<string, Draft>({
    max: mostResting,
    dispose: (draft, _, reason) => {
      if (reason === 'evict') draft.close().catch(onError)
    },
  })
  const fileOf = (id: string) => join(directory, `${id}${suffix}`)
  const timer = setInterval(() => void tidy().catch(onError), tidyMs).unref()
  void tidy().catch(onError)

  async function tidy(): Promise<void> {
    for (const name of await readdir(directory)) {
      if (!name.endsWith(suffix) || known.has(name.slice(0, -suffix.length))) continue
      const stats = await unlessAbsent(stat(join(directory, name)))
      if (stats && stats.mtimeMs < now() - abandonedMs) await remove(name.slice(0, -suffix.length))
    }
  }
  async function remove(id: string): Promise<void> {
    const draft = resting.get(id)
    resting.delete(id)
    acknowledged.delete(id)
    await rm(fileOf(id), { force: true })
    await draft?.close()
  }
  async function openOf(id: string, algorithm: DigestAlgorithm): Promise<Draft | undefined> {
    const rested = resting.get(id)
    resting.delete(id)
    return rested ?? openDraft({ file: fileOf(id), algorithm, room, sync })
  }

  async function rest(id: string, draft: Draft): Promise<void> {
    await draft.flush().catch(() => {})
    draft.rest()
    if (draft.isSpoilt || draft.offset === 0) await draft.close()
    else resting.set(id, draft)
  }

  /** @param leave gives the upload to the next */
  function hold(
    id: string,
    algorithm: DigestAlgorithm,
    first: Draft,
    lost: AbortSignal,
    leave: () => void,
  ): HeldUpload {
    let draft: Draft | undefined = first
    const current = () => {
      if (!draft) throw new Error('an upload was used after its end')
      return draft
    }
    async function end(): Promise<void> {
      const ended = draft
      draft = undefined
      acknowledged.delete(id)
      await rm(fileOf(id), { force: true })
      await ended?.close()
    }
    return {
      lost,
      get offset() {
        return current().offset
      },
      get acknowledged() {
        return acknowledged.get(id) ?? 0
      },
      acknowledge: () => void acknowledged.set(id, current().offset),
      expect: (bytes) => current().expect(bytes),
      append: (piece) => current().append(piece),
      flush: () => current().flush(),
      async cutBack(bytes) {
        await current().cutBack(bytes)
        await current().close()
        draft = await openDraft({ file: fileOf(id), algorithm, room, sync })
      },
      async commit(repository, digest) {
        const whole = current()
        try {
          if (!(await whole.is(digest))) {
            throw new RegistryError('DIGEST_INVALID', {
              message: 'provided digest did not match uploaded content',
              detail: { digest },
            })
          }
          const extents = await whole.seal()
          const size = whole.offset
          using _hold = await options.holds.hold(digest)
          failpoint('upload-sealed')
          await options.blobs.adopt(digest, fileOf(id), extents)
          failpoint('upload-adopted')
          await options.metadata.recordBlob({ digest, size, repositories: [repository], origin: 'pushed' })
          await end()
          room.kept(size)
        } finally {
          if (draft) await end()
        }
      },
      cancel: end,
      async [Symbol.asyncDispose]() {
        const left = draft
        draft = undefined
        try {
          if (left) await rest(id, left)
        } finally {
          leave()
        }
      },
    }
  }

  return {
    async begin() {
      const id = randomUUID()
      await (await open(fileOf(id), 'wx', 0o600)).close()
      return id
    },
    async offset(id) {
      const draft = resting.get(id)
      return draft?.offset ?? (await unlessAbsent(stat(fileOf(id))))?.size
    },
    async take(id, algorithm) {
      const entry = known.get(id) ?? { turns: createTurns(), users: 0 }
      known.set(id, entry)
      entry.users += 1
      entry.holder?.abort(takenOver())
      const over = Promise.withResolvers<void>()
      const got = Promise.withResolvers<HeldUpload | undefined>()
      const leave = () => {
        entry.users -= 1
        if (entry.users === 0) known.delete(id)
        over.resolve()
      }
      entry.turns
        .take(async () => {
          const holder = new AbortController()
          entry.holder = holder
          if (entry.users > 1) holder.abort(takenOver())
          try {
            const draft = await openOf(id, algorithm)
            if (!draft) leave()
            got.resolve(draft && hold(id, algorithm, draft, holder.signal, leave))
          } catch (error) {
            leave()
            got.reject(error)
          }
          await over.promise
          if (entry.holder === holder) delete entry.holder
        })
        .catch(onError)
      return got.promise
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      const drafts = [...resting.values()]
      resting.clear()
      await Promise.all(drafts.map((draft) => draft.close()))
    },
  }
}
