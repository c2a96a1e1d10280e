import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCodeOf } from '../flow/error-code.ts'
import { createSlots } from '../flow/slots.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { BlobLostError, type BlobStore, type OpenBlob, type SpoiltBlob, unlessLost } from './blob-store.ts'
import { openUnlinked, writeExtents } from './extents.ts'
import { type Identity, isUnwritten } from './identity.ts'
import { createProof, type Proof } from './proof.ts'
import { createProofReader, createProofs } from './proofs.ts'

/** The files of blobs. Those that this process has not proven, or that were touched since, are proven while they are read. */
export interface StoredFiles {
  /** See {@link FoundBlob.open}. */
  open(digest: Digest, signal: AbortSignal): Promise<OpenBlob>
  /** Its bytes were proven by who has just put it there. */
  trust(digest: Digest): Promise<void>
  /** See {@link BlobStore.check}. */
  check: BlobStore['check']
  /** See {@link BlobStore.spoilt}. */
  spoilt(digest: Digest): Promise<SpoiltBlob | undefined>
  /** What was put aside of it goes. */
  forget(digest: Digest): Promise<void>
  /** Whether it is there as it was when it was proven. */
  isTrusted(digest: Digest): Promise<boolean>
}

export interface StoredFilesOptions {
  pathOf(digest: Digest): string
  /** Beside it: the tags of its extents. */
  extentsOf(digest: Digest): string
  drafts: string
  /** Where a file goes whose bytes are others, until it is replaced: on the same file system. */
  quarantine: string
  /** Hears of each, and where its file is now. */
  onRotten(digest: Digest, file: string): void
  /** Ends the proofs that are under way. */
  lifetime: AbortSignal
}

/** How many extents are hashed at a time: the disk's turn of one is the processor's of another. */
const mostHashing = 4

export function createStoredFiles(options: StoredFilesOptions): StoredFiles {
  const { pathOf, extentsOf, drafts, quarantine, lifetime } = options
  const proofs = createProofs()
  const slots = createSlots(mostHashing)
  const asideNameOf = (digest: Digest) => `${algorithmOf(digest)}-${hexOf(digest)}`
  const asideOf = (digest: Digest) => join(quarantine, asideNameOf(digest))
  /** The names that may be in quarantine: mostly none, and every blob that comes or goes asks. */
  let aside: Promise<Set<string>> | undefined
  const look = (digest: Digest) => unlessAbsent(lstat(pathOf(digest), { bigint: true }))

  function begin(digest: Digest, identity: Identity): Proof {
    return createProof({
      digest,
      identity,
      extents: extentsOf(digest),
      slots,
      lifetime,
      async onWhole(extents) {
        proofs.trust(digest, identity)
        // It only saves work after the next start.
        if (extents)
          await writeExtents(extentsOf(digest), extents, join(drafts, randomUUID())).catch(() => {})
      },
      onRotten: () => putAside(digest, identity),
    })
  }

  function namesAside(): Promise<Set<string>> {
    aside ??= unlessAbsent(readdir(quarantine)).then((names = []) => new Set(names))
    aside.catch(() => {
      aside = undefined
    })
    return aside
  }

  async function forget(digest: Digest): Promise<void> {
    const names = await namesAside()
    if (!names.has(asideNameOf(digest))) return
    await rm(asideOf(digest), { force: true })
    names.delete(asideNameOf(digest))
  }

  /** Unless another has taken its place meanwhile. */
  async function putAside(digest: Digest, { ino }: Identity): Promise<void> {
    if ((await look(digest))?.ino !== ino) return
    await mkdir(quarantine, { recursive: true, mode: 0o700 })
    const names = await namesAside()
    names.add(asideNameOf(digest))
    await rename(pathOf(digest), asideOf(digest))
    options.onRotten(digest, asideOf(digest))
  }

  return {
    async open(digest, signal) {
      const { handle, identity } = await openFile(digest, pathOf(digest), signal)
      const size = Number(identity.size)
      if (proofs.isTrusted(digest, identity)) return { kind: 'file', handle, size }
      const proof = proofs.of(digest, identity, () => begin(digest, identity))
      const growing = createProofReader(proof, handle)
      try {
        // The size that a head states is true when the end is; and while no head is out another can still answer.
        await growing.readableFrom(Math.max(0, size - 1), signal)
        await growing.readableFrom(0, signal)
      } catch (error) {
        growing.release()
        throw error
      }
      return proof.isWhole ? { kind: 'file', handle, size } : { kind: 'unproven', growing, size }
    },
    async check(digest, pace, signal) {
      const opened = await unlessLost(openFile(digest, pathOf(digest), signal))
      if (!opened) return 'absent'
      await using handle = opened.handle
      const hex = await hashOf(handle, algorithmOf(digest), pace, signal)
      // Who wrote to it meanwhile has made another file of it, or none.
      if (!isUnwritten(opened.identity, await handle.stat({ bigint: true }))) return 'absent'
      if (hex === hexOf(digest)) {
        proofs.trust(digest, opened.identity)
        return 'right'
      }
      await putAside(digest, opened.identity)
      return 'rotten'
    },
    async trust(digest) {
      const identity = await look(digest)
      if (identity) proofs.trust(digest, identity)
      await forget(digest)
    },
    forget,
    async spoilt(digest) {
      const left = { file: asideOf(digest), extents: extentsOf(digest) }
      const found = await Promise.all([left.file, left.extents].map((path) => unlessAbsent(lstat(path))))
      return found.every((stats) => stats?.isFile()) ? left : undefined
    },
    async isTrusted(digest) {
      const identity = await look(digest)
      return identity !== undefined && proofs.isTrusted(digest, identity)
    },
  }
}

const checkedBytes = 256 * 1024

async function hashOf(
  handle: FileHandle,
  algorithm: string,
  pace: (count: number) => Promise<void>,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash(algorithm)
  const buffer = Buffer.allocUnsafe(checkedBytes)
  for (let position = 0; ; ) {
    signal.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, checkedBytes, position)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(buffer.subarray(0, bytesRead))
    position += bytesRead
    await pace(bytesRead)
  }
}

interface OpenFile {
  handle: FileHandle
  identity: Identity
}

async function openFile(digest: Digest, path: string, signal: AbortSignal): Promise<OpenFile> {
  signal.throwIfAborted()
  const handle = await openUnlinked(path).catch((cause: unknown) => {
    if (!isNoFile(cause)) throw cause
    throw new BlobLostError(`the file of ${digest} has gone`, { cause })
  })
  try {
    const identity = await handle.stat({ bigint: true })
    signal.throwIfAborted()
    if (!identity.isFile()) throw new BlobLostError(`what stands in the place of ${digest} is no file`)
    return { handle, identity }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Nothing, a link, or a socket. */
function isNoFile(error: unknown): boolean {
  return ['ENOENT', 'ELOOP', 'ENXIO'].includes(errorCodeOf(error) ?? '')
}
