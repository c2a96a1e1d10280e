import type { BlobStore } from '../blobs/blob-store.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Holds } from '../flow/holds.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { UploadOutcome } from '../metrics/pushes.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Draft } from './draft.ts'

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
  end(outcome: 'cancelled' | 'failed'): Promise<void>
}

export interface HeldUploadOptions {
  draft: Draft
  file: string
  lost: AbortSignal
  /** See {@link HeldUpload.acknowledged}. */
  acknowledged: { get(): number; set(bytes: number): void }
  blobs: Pick<BlobStore, 'adopt'>
  metadata: Pick<Metadata, 'recordBlob'>
  holds: Pick<Holds<Digest>, 'hold'>
  reopen(): Promise<Draft | undefined>
  /** Keeps it for the next request. */
  rest(draft: Draft): Promise<void>
  /** Leaves nothing of it. */
  end(draft: Draft, outcome: UploadOutcome): Promise<void>
  /** Gives it to the next request. */
  leave(): void
}

export function createHeldUpload(options: HeldUploadOptions): HeldUpload {
  const { acknowledged } = options
  let draft: Draft | undefined = options.draft

  function current(): Draft {
    if (!draft) throw new Error('an upload was used after its end')
    return draft
  }
  async function end(outcome: UploadOutcome): Promise<void> {
    const ended = draft
    draft = undefined
    if (ended) await options.end(ended, outcome)
  }
  async function publish(repository: RepositoryName, digest: Digest): Promise<void> {
    const whole = current()
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
    await options.blobs.adopt(digest, options.file, extents)
    failpoint('upload-adopted')
    await options.metadata.recordBlob({ digest, size, repositories: [repository], origin: 'pushed' })
    await end('pushed')
  }

  return {
    lost: options.lost,
    get offset() {
      return current().offset
    },
    get acknowledged() {
      return acknowledged.get()
    },
    acknowledge: () => acknowledged.set(current().offset),
    expect: (bytes) => current().expect(bytes),
    append: (piece) => current().append(piece),
    flush: () => current().flush(),
    async cutBack(bytes) {
      await current().cutBack(bytes)
      await current().close()
      draft = await options.reopen()
    },
    async commit(repository, digest) {
      try {
        await publish(repository, digest)
      } finally {
        if (draft) await end('failed')
      }
    },
    end,
    async [Symbol.asyncDispose]() {
      const left = draft
      draft = undefined
      try {
        if (left) await options.rest(left)
      } finally {
        options.leave()
      }
    },
  }
}
