import type { FoundBlob } from '../blobs/blob-store.ts'
import type { Fills } from '../fill/fills.ts'
import type { RunningFill } from '../fill/running-fill.ts'
import { orAbandon } from '../flow/abandon.ts'
import type { Holds } from '../flow/holds.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type BlobHead, UpstreamError } from '../upstream/registry-client.ts'
import { type BlobAnswer, explained, growingAnswer, storedAnswer } from './blob-answer.ts'
import { answerFor, unavailable } from './errors.ts'
import type { LocalSource } from './local.ts'
import { createMisses } from './misses.ts'
import { createPaced } from './pace.ts'
import type { MirroredRepository, ResolvedRepository } from './repository.ts'

export interface BlobResolver {
  /**
   * Its methods and the answer's throw RegistryError `BLOB_UNKNOWN`, or `UNAVAILABLE` when upstream could not be asked.
   * Knowing a digest is no right: what others hold is shared only when it is public, or when the same upstream
   * confirms it for this repository.
   * @param address of the client, whose fills are limited
   */
  resolve(
    repository: ResolvedRepository,
    digest: Digest,
    address: string,
    signal: AbortSignal,
  ): Promise<BlobAnswer>
  /**
   * Fetches, with nobody to read it yet, what a client of `repository` would be given from upstream, and settles when it
   * is here. @returns whether it did: `false` for what is here or on its way
   */
  warm(repository: MirroredRepository, digest: Digest, signal: AbortSignal): Promise<boolean>
  /**
   * Settles when the blob is here, whoever fetches it. What it has begun to fetch and nobody else wants ends with `signal`.
   * @param watch is given what tells how many of its bytes have come
   */
  bring(
    repository: MirroredRepository,
    digest: Digest,
    watch: (arrivedBytes: () => number) => void,
    signal: AbortSignal,
  ): Promise<void>
}

/** Of what comes and is evicted again, or is always on its way to others. */
const mostTries = 5

/** Whose fills those are that no client has asked for. */
const nobody = ''

export interface BlobResolverOptions {
  local: LocalSource
  metadata: Metadata
  fills: Fills
  holds: Pick<Holds<Digest>, 'hold'>
  /** Whose content a repository of this site is: open to everybody, and from which registry. */
  ownerOf(repository: RepositoryName): { public: boolean; registry?: string } | undefined
}

export function createBlobResolver(options: BlobResolverOptions): BlobResolver {
  const { local, metadata, fills, holds, ownerOf } = options
  const misses = createMisses()

  /** What is here and may be read through `repository` without downloading it again; linked on the way. */
  async function share(repository: MirroredRepository, digest: Digest, signal: AbortSignal): Promise<Shared> {
    await fills.whenFree(digest)
    const fill = fills.find(digest)
    if (fill?.repositories.has(repository.repository)) return { kind: 'growing', fill }
    if (fill) return shareFill(repository, fill, signal)
    if (!(await local.has(digest))) return { kind: 'nothing' }
    if (!(await mayShare(repository, digest, await metadata.links.holders(digest), signal)))
      return { kind: 'others' }
    using _hold = await holds.hold(digest)
    if (!(await local.has(digest))) return { kind: 'nothing' }
    await metadata.links.add([{ repository: repository.repository, digest, origin: 'filled' }])
    const found = await local.blob(repository.repository, digest)
    return found ? { kind: 'here', found } : { kind: 'nothing' }
  }

  /**
   * Only a fill from our own upstream is joined: another one might be slow, broken or lie, and ours be well. One that
   * upstream has not confirmed yet proves nothing, so its head is waited for.
   */
  async function shareFill(
    repository: MirroredRepository,
    fill: RunningFill,
    signal: AbortSignal,
  ): Promise<Shared> {
    if (fill.registry !== repository.upstream.client.settings.name) return { kind: 'others' }
    if (!(await fill.confirmed(signal))) return share(repository, fill.digest, signal)
    if (!(await mayShare(repository, fill.digest, [...fill.repositories], signal))) return { kind: 'others' }
    await fill.join(repository.repository)
    return { kind: 'growing', fill }
  }

  async function mayShare(
    repository: MirroredRepository,
    digest: Digest,
    holders: readonly RepositoryName[],
    signal: AbortSignal,
  ): Promise<boolean> {
    // A repository that names the digest in a manifest of its own: else any name could be given links without end.
    const isNamed = (await metadata.manifests.statedSize(repository.repository, digest)) !== undefined
    const owners = holders.map(ownerOf)
    if (isNamed && owners.some((owner) => owner?.public)) return true
    const { client } = repository.upstream
    if (!owners.some((owner) => owner?.registry === client.settings.name)) return false
    try {
      await headUpstream(repository, digest, signal)
      return true
    } catch (error) {
      if (error instanceof UpstreamError && error.kind === 'absent') return false
      throw error
    }
  }

  /** `undefined` when others have begun to fill it meanwhile. */
  async function download(
    repository: MirroredRepository,
    digest: Digest,
    apart: boolean,
    address: string,
    wanted?: AbortSignal,
  ): Promise<RunningFill | undefined> {
    const { upstream, repository: name } = repository
    const statedSize = await metadata.manifests.statedSize(name, digest)
    const mends = (await metadata.links.find(name, digest)) !== undefined
    return fills.start({
      digest,
      apart,
      mends,
      repository: name,
      registry: upstream.client.settings.name,
      statedSize,
      client: address,
      ...(wanted && { wanted }),
      // The client is looked up each time: a reload may have made another.
      source: {
        open: (from, signal) =>
          createPaced()(() => upstream.client.openBlob(upstream.repository, digest, from, signal), signal),
        latencyMs: () => upstream.client.latencyMs(),
        segments: () => upstream.client.settings.segments,
      },
    })
  }

  async function fromUpstream(
    repository: MirroredRepository,
    digest: Digest,
    address: string,
    signal: AbortSignal,
  ): Promise<BlobAnswer> {
    const shared = await share(repository, digest, signal)
    if (shared.kind === 'here') {
      return storedAnswer(shared.found, () => fromUpstream(repository, digest, address, signal))
    }
    if (shared.kind === 'growing') return growingAnswer(shared.fill)
    const key = `${repository.repository}@${digest}`
    return {
      source: 'miss',
      async size(caller) {
        const { size } = await misses.guard(key, () => headUpstream(repository, digest, caller))
        const stated = size ?? (await metadata.manifests.statedSize(repository.repository, digest))
        if (stated === undefined) throw new UpstreamError('lying', `upstream gives no size for ${digest}`)
        return stated
      },
      open: (caller) =>
        misses.guard(key, async () => {
          const fill = await download(repository, digest, shared.kind === 'others', address)
          return fill
            ? growingAnswer(fill).open(caller)
            : (await fromUpstream(repository, digest, address, caller)).open(caller)
        }),
    }
  }

  async function fetchUnasked(repository: MirroredRepository, digest: Digest, signal: AbortSignal) {
    if (await local.blob(repository.repository, digest)) return false
    const shared = await share(repository, digest, signal)
    if (shared.kind === 'here' || shared.kind === 'growing') return false
    return misses.guard(`${repository.repository}@${digest}`, async () => {
      const fill = await download(repository, digest, shared.kind === 'others', nobody)
      if (fill) await orAbandon(fill.done, signal)
      return fill !== undefined
    })
  }

  async function fetchAll(
    repository: MirroredRepository,
    digest: Digest,
    watch: (arrivedBytes: () => number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    for (let tries = 0; tries < mostTries; tries += 1) {
      signal.throwIfAborted()
      if (await local.blob(repository.repository, digest)) return
      const shared = await share(repository, digest, signal)
      if (shared.kind === 'here') return
      await misses.guard(`${repository.repository}@${digest}`, async () => {
        const fill =
          shared.kind === 'growing'
            ? shared.fill
            : await download(repository, digest, shared.kind === 'others', nobody, signal)
        if (!fill) return
        watch(() => fill.arrivedBytes)
        await orAbandon(fill.done, signal)
      })
    }
    throw unavailable('it came, and was not here afterwards')
  }

  return {
    async bring(repository, digest, watch, signal) {
      try {
        await fetchAll(repository, digest, watch, signal)
      } catch (error) {
        throw answerFor(error, 'BLOB_UNKNOWN')
      }
    },
    async warm(repository, digest, signal) {
      try {
        return await fetchUnasked(repository, digest, signal)
      } catch (error) {
        throw answerFor(error, 'BLOB_UNKNOWN')
      }
    },
    async resolve(repository, digest, address, signal) {
      try {
        const { upstream } = repository
        const found = await local.blob(repository.repository, digest)
        if (found) {
          return explained(
            storedAnswer(found, async () => {
              if (!upstream) throw unavailable('what this site had of it is spoilt')
              return fromUpstream({ ...repository, upstream }, digest, address, signal)
            }),
          )
        }
        if (!upstream) throw new RegistryError('BLOB_UNKNOWN', { detail: { digest } })
        return explained(await fromUpstream({ ...repository, upstream }, digest, address, signal))
      } catch (error) {
        throw answerFor(error, 'BLOB_UNKNOWN')
      }
    },
  }
}

type Shared =
  | { kind: 'here'; found: FoundBlob }
  | { kind: 'growing'; fill: RunningFill }
  /** Bytes are here or on their way, and this repository has yet to prove that it may have them. */
  | { kind: 'others' }
  | { kind: 'nothing' }

function headUpstream(
  { upstream }: MirroredRepository,
  digest: Digest,
  signal: AbortSignal,
): Promise<BlobHead> {
  return createPaced()(() => upstream.client.headBlob(upstream.repository, digest, signal), signal)
}
