import { LRUCache } from 'lru-cache'
import { createLanes } from '../flow/lanes.ts'
import { outsideRequest } from '../flow/request-scope.ts'
import type { Metrics } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { parseManifest } from '../oci/manifest.ts'
import type { RegistryClient } from '../upstream/registry-client.ts'
import type { BlobResolver } from './blobs.ts'
import type { ManifestAnswer, ManifestResolver } from './manifests.ts'
import { createPlatforms } from './platforms.ts'
import type { MirroredRepository, PrefetchRule, ResolvedRepository } from './repository.ts'

/** Fetches what a client will probably ask for next, so that it is here by then. */
export interface Prefetcher {
  /** A manifest was answered to a GET of `client`. Does nothing now, and never throws. */
  answered(repository: ResolvedRepository, answer: ManifestAnswer, client: string): void
}

export interface PrefetcherOptions {
  manifests: ManifestResolver
  blobs: BlobResolver
  lifetime: AbortSignal
  metrics: Pick<Metrics, 'prefetched'>
  /** What nobody foresaw: nobody waits, so somebody must hear of it. */
  onError(error: unknown, digest: Digest): void
}

/** At a time for each upstream: clients fetch three layers at a time, and shall find the next one begun. */
const width = 2
/** Waiting for each upstream. A large image has a hundred layers. */
const depth = 1000
/** An image that is asked for over and over is looked through once in this time. */
const lookAgainAfterMs = 60_000
/** The same for one that was given up. */
const tryAgainAfterMs = 3000

type Prefetched = MirroredRepository & { prefetch: PrefetchRule }

interface Task {
  kind: 'manifest' | 'blob'
  repository: Prefetched
  digest: Digest
  /** The image it belongs to. */
  image: Digest
}

export function createPrefetcher(options: PrefetcherOptions): Prefetcher {
  const { manifests, blobs, lifetime, metrics, onError } = options
  const platforms = createPlatforms()
  const seen = new LRUCache<string, true>({ max: 10_000, ttl: lookAgainAfterMs })
  const lanes = createLanes<Task>({ width, depth, run })

  function count({ kind, repository }: Task, outcome: 'fetched' | 'failed' | 'dropped'): void {
    metrics.prefetched.inc({ registry: repository.upstream.client.settings.name, kind, outcome })
  }

  /** @returns whether there was room for it */
  function add(task: Task): boolean {
    const { name } = task.repository.upstream.client.settings
    const fits = lanes.add(name, keyOf(task.repository, task.digest), task)
    if (!fits) giveUp(task, 'dropped')
    return fits
  }

  function giveUp(task: Task, outcome: 'failed' | 'dropped'): void {
    count(task, outcome)
    drop(task.repository, task.image)
  }

  /** Fetches no more of an image for now. */
  function drop({ repository, upstream }: MirroredRepository, image: Digest): void {
    const isOfIt = (task: Task) => task.image === image && task.repository.repository === repository
    for (const task of lanes.remove(upstream.client.settings.name, isOfIt)) count(task, 'dropped')
    seen.set(keyOf({ repository }, image), true, { ttl: tryAgainAfterMs })
  }

  function lookThrough(repository: Prefetched, { digest, mediaType, bytes }: ManifestAnswer): void {
    const key = keyOf(repository, digest)
    if (!bytes || seen.has(key)) return
    seen.set(key, true)
    const { kind, manifests: images, blobs: parts } = parseManifest(bytes, mediaType)
    if (kind === 'index') {
      const { platforms: wanted } = repository.prefetch
      const children = platforms.offered(repository.repository, digest, images, wanted)
      children.every((image) => add({ kind: 'manifest', repository, digest: image, image }))
    } else {
      parts.every((blob) => add({ kind: 'blob', repository, digest: blob.digest, image: digest }))
    }
  }

  async function fetchImage({ repository, digest }: Task): Promise<boolean> {
    const answer = await manifests.resolve(repository, { kind: 'digest', digest }, true, lifetime)
    lookThrough(repository, answer)
    return answer.source === 'fill'
  }

  async function run(task: Task): Promise<void> {
    const { kind, repository, digest } = task
    if (lifetime.aborted) return
    if (!mayAsk(repository.upstream.client)) return giveUp(task, 'dropped')
    try {
      const fetched =
        kind === 'blob' ? await blobs.warm(repository, digest, lifetime) : await fetchImage(task)
      if (fetched) count(task, 'fetched')
    } catch (error) {
      if (lifetime.aborted) return
      giveUp(task, 'failed')
      if (!(error instanceof RegistryError)) onError(error, digest)
    }
  }

  function follow(repository: Prefetched, answer: ManifestAnswer, client: string): void {
    const intent = platforms.asked(repository.repository, answer.digest, client)
    if (intent.kind === 'collect' && intent.before) drop(repository, intent.before)
    if (intent.kind === 'pull' && mayAsk(repository.upstream.client)) lookThrough(repository, answer)
  }

  return {
    answered(repository, answer, client) {
      const { upstream, prefetch } = repository
      if (!upstream || !prefetch || lifetime.aborted) return
      try {
        // Its lanes go on with what others ask for.
        outsideRequest(() => follow({ ...repository, upstream, prefetch }, answer, client))
      } catch (error) {
        onError(error, answer.digest)
      }
    },
  }
}

/** Whether a registry may be asked for what no client has asked for yet. */
export function mayAsk(registry: RegistryClient): boolean {
  const isLimited = registry.limits().some(({ limitedForMs = 0 }) => limitedForMs > 0)
  return !registry.isDown() && !isLimited && !registry.isSparing()
}

function keyOf({ repository }: Pick<ResolvedRepository, 'repository'>, digest: Digest): string {
  return `${repository}@${digest}`
}
