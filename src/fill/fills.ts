import { join } from 'node:path'
import type { BlobStore, OpenBlob } from '../blobs/blob-store.ts'
import { orAbandon } from '../flow/abandon.ts'
import type { Links } from '../metadata/metadata.ts'
import type { Metrics } from '../metrics.ts'
import { algorithmOf, type Digest, digestOf, hexOf } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import { createFill, type Fill, type OpenUpstream } from './fill.ts'

/** The downloads under way on this node: one for a digest, whoever asks and however many. */
export interface Fills {
  /** The running fill that others may join; whether the asker may is for the caller to decide. */
  find(digest: Digest): RunningFill | undefined
  /** Starts a fill, or finds the asker's own; `undefined` when only one of others is running. */
  start(request: FillRequest): RunningFill | undefined
  /** Ends what is under way; it goes on from where it was at the next start. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface FillRequest {
  digest: Digest
  /** Who asks, and will hold the blob. */
  repository: RepositoryName
  /** Name of the registry that the bytes come from. */
  registry: string
  statedSize?: number
  upstream: OpenUpstream
  /** A fill of its own, for who must prove by downloading that it may have bytes that others hold already. */
  apart?: boolean
}

export interface RunningFill {
  readonly digest: Digest
  readonly registry: string
  /** The repositories that will hold the blob. */
  readonly repositories: ReadonlySet<RepositoryName>
  /** See {@link Fill.head}. */
  readonly head: Promise<number>
  readonly done: Promise<void>
  join(repository: RepositoryName): void
  /** Resolves when upstream has said that it has the blob. */
  open(signal: AbortSignal): Promise<OpenBlob>
}

export interface FillsOptions {
  /** Of the growing files. */
  directory: string
  blobs: BlobStore
  links: Links
  sync: boolean
  metrics: Metrics
  /** A fill that failed, or a link that could not be written: nobody waits for it, so somebody must hear of it. */
  onError(error: unknown, digest: Digest): void
}

export function createFills(options: FillsOptions): Fills {
  const running = new Map<string, RunningFill>()
  const stop = new AbortController()

  function start(request: FillRequest): RunningFill | undefined {
    const id = fileNameOf(request)
    const known = running.get(id)
    if (known) return known.repositories.has(request.repository) ? known : undefined
    const fill = run(options, request, id, stop.signal)
    running.set(id, fill)
    options.metrics.fills.set(running.size)
    const forget = () => {
      running.delete(id)
      options.metrics.fills.set(running.size)
    }
    fill.done.then(forget, (error: unknown) => {
      forget()
      options.metrics.fillFailures.inc()
      if (error instanceof UpstreamError && error.kind === 'lying') {
        options.metrics.upstreamLies.inc({ registry: request.registry })
      }
      if (!stop.signal.aborted) options.onError(error, request.digest)
    })
    return fill
  }
  return {
    find: (digest) => running.get(`${algorithmOf(digest)}-${hexOf(digest)}`),
    start,
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the node is stopping'))
      await Promise.allSettled([...running.values()].map((fill) => fill.done))
    },
  }
}

function run(options: FillsOptions, request: FillRequest, id: string, signal: AbortSignal): RunningFill {
  const { digest, registry } = request
  const repositories = new Set([request.repository])
  const part = join(options.directory, id)
  let committed = false
  const linkAll = (names: Iterable<RepositoryName>) => {
    const links = [...names].map((repository) => ({ repository, digest, origin: 'filled' as const }))
    return options.links.add(links).catch((error: unknown) => options.onError(error, digest))
  }
  const fill: Fill = createFill(
    {
      digest,
      part: `${part}.part`,
      extents: `${part}.extents`,
      statedSize: request.statedSize,
      upstream: request.upstream,
      sync: options.sync,
      async commit(file, extents) {
        await options.blobs.adopt(digest, file, extents)
        // Before the last bytes are released: what a client has got must be here after a kill.
        committed = true
        await linkAll(repositories)
      },
      onBytes: (count) => options.metrics.upstreamBytes.inc({ registry }, count),
    },
    signal,
  )
  return {
    digest,
    registry,
    repositories,
    head: fill.head,
    done: fill.done,
    join(repository) {
      if (repositories.has(repository)) return
      repositories.add(repository)
      if (committed) linkAll([repository])
    },
    async open(caller) {
      const size = await orAbandon(fill.head, caller)
      const growing = fill.reader()
      if (growing) return { kind: 'growing', growing, size }
      await fill.done
      const found = await options.blobs.find(digest)
      if (!found) throw new Error(`${digest} has gone right after it was filled`)
      return found.open(caller)
    },
  }
}

/** A digest's part is `<algorithm>-<hex>`; one apart has a mark of its repository behind it. */
function fileNameOf({ digest, apart, repository }: FillRequest): string {
  const name = `${algorithmOf(digest)}-${hexOf(digest)}`
  return apart ? `${name}-${hexOf(digestOf(Buffer.from(repository))).slice(0, 16)}` : name
}
