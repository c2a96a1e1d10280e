import type { Fills } from '../fill/fills.ts'
import { requestId } from '../flow/request-scope.ts'
import { createBlobSender } from '../http/body.ts'
import { type BufferPool, createBufferPool } from '../http/buffers.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { byProject, type Target } from '../projects/locate.ts'
import { ownerOf, type Site } from '../projects/project.ts'
import { createHoldings } from '../push/holdings.ts'
import { createMounts } from '../push/mounts.ts'
import { createBlobHandler } from '../registry/blobs.ts'
import { createCatalogHandler, createReferrersHandler, createTagsHandler } from '../registry/listings.ts'
import { createManifestHandler, createPushedManifestHandler } from '../registry/manifests.ts'
import { createResolved } from '../registry/resolved.ts'
import type { RegistryHandlers } from '../registry/routes.ts'
import { createWriteHandler } from '../registry/writes.ts'
import { createBlobResolver } from '../resolve/blobs.ts'
import type { RegistryClients } from '../resolve/clients.ts'
import { createComplete } from '../resolve/completion.ts'
import { createHeal, type Heal } from '../resolve/heal.ts'
import { createKeep } from '../resolve/keep.ts'
import { createListings } from '../resolve/listings.ts'
import { createLocalSource, type LocalSource } from '../resolve/local.ts'
import { createManifestResolver } from '../resolve/manifests.ts'
import { createOwnListings } from '../resolve/own-listings.ts'
import { createPrefetcher } from '../resolve/prefetch.ts'
import type { ResolvedRepository } from '../resolve/repository.ts'
import { createWholeImages, type WholeImages } from '../resolve/whole-image.ts'
import type { Stores } from './stores.ts'

/** What the pooled buffers of all answers may take together. */
const bufferBytes = 96 * 1024 * 1024

export interface Parts {
  log: Logger
  metrics: Metrics
  stores: Stores
  clients: RegistryClients
  fills: Fills
  /** As it is now. */
  site(): Site
}

export interface Handlers {
  registry: RegistryHandlers
  heal: Heal
  buffers: BufferPool
  images: WholeImages
  local: LocalSource
  resolved(target: Target): ResolvedRepository
}

export function createHandlers(parts: Parts, owned: AsyncDisposableStack): Handlers {
  const { log, metrics, stores, clients, fills, site } = parts
  const { metadata, blobs, holds, usage, uploads, uploadStates } = stores
  const lifetime = new AbortController()
  // Ends before the fills do, so that nothing begins another one.
  owned.defer(() => lifetime.abort(new Error('the node is stopping')))
  const onError = (err: unknown) => log.part('store').error({ err }, 'could not keep what was fetched')
  const local = createLocalSource({ metadata, blobs, memoryBytes: site().cache.memory })
  const keep = createKeep({ blobs, metadata, holds, onError })
  const shared = { metadata, local, keep, lifetime: lifetime.signal, onError }
  const buffers = createBufferPool(bufferBytes)
  const bodies = log.part('request')
  const sender = createBlobSender({
    pool: buffers,
    onBroken: (err) => bodies.warn({ err, id: requestId() }, 'body broken off'),
  })
  const resolved = createResolved(clients)
  const own = createOwnListings(metadata)
  const listings = createListings({ ...shared, own })
  const manifests = createManifestResolver(shared)
  const layers = createBlobResolver({
    ...shared,
    fills,
    holds,
    ownerOf: (repository) => ownerOf(site(), repository),
  })
  const prefetcher = createPrefetcher({
    manifests,
    blobs: layers,
    lifetime: lifetime.signal,
    metrics,
    onError: (err, digest) => log.part('fill').warn({ err, digest }, 'prefetch failed'),
  })
  const complete = createComplete(manifests, layers)
  const heal = createHeal({
    ...{ metadata, store: blobs, local, holds, manifests, blobs: layers },
    resolved(repository) {
      const target = byProject(site(), repository)
      return target && resolved(target)
    },
  })
  const registry = {
    manifest: createManifestHandler({ manifests, prefetcher, usage, resolved }),
    pushedManifest: createPushedManifestHandler({ tags: metadata.tags, local }),
    blob: createBlobHandler({ blobs: layers, sender, usage, resolved }),
    tags: createTagsHandler(listings, resolved),
    referrers: createReferrersHandler(listings, resolved),
    catalog: createCatalogHandler(own),
    write: createWriteHandler({
      uploads,
      states: uploadStates,
      ...{ metadata, metrics, usage, disk: stores.pushDisk },
      mounts: createMounts(stores),
      holdings: createHoldings({
        ...stores,
        bytesOf: async (repository, digest) => (await local.manifest(repository, digest))?.bytes,
      }),
      async complete(target, ...parts) {
        const { upstream, ...repository } = resolved(target)
        if (upstream) await complete({ ...repository, upstream }, ...parts)
      },
    }),
  }
  const images = createWholeImages({ manifests, blobs: layers, listings, local })
  return { registry, heal, buffers, images, local, resolved }
}
