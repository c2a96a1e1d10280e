import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createTokens } from './auth/tokens.ts'
import type { BlobStore } from './blobs/blob-store.ts'
import { createFsBlobStore } from './blobs/fs.ts'
import type { Config } from './config/config.ts'
import { clearLeftovers, prepareDataDirectory } from './coordination/data-directory.ts'
import { lockDataDirectory } from './coordination/data-lock.ts'
import { createFills, type Fills } from './fill/fills.ts'
import { createVia, type Via } from './flow/via.ts'
import { createHttpApp, type HttpApp } from './http/app.ts'
import { createBlobSender } from './http/body.ts'
import { createBufferPool } from './http/buffers.ts'
import { loadCertificates } from './http/certificates.ts'
import { closeDoors, type Door, type OpenDoor, openDoors } from './http/listen.ts'
import type { Logger } from './log.ts'
import type { Metadata } from './metadata/metadata.ts'
import { openMetadata } from './metadata/open-metadata.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { RegistryError } from './oci/error.ts'
import { onlyMirrors, ownerOf, type Site } from './projects/project.ts'
import { createBlobHandler } from './registry/blobs.ts'
import { createReferrersHandler, createTagsHandler } from './registry/listings.ts'
import { createManifestHandler } from './registry/manifests.ts'
import { createPages } from './registry/pages.ts'
import { createResolved } from './registry/resolved.ts'
import { createRegistryRoutes, type RegistryHandlers } from './registry/routes.ts'
import { createKeySetPage, createTokenPage } from './registry/token.ts'
import { createBlobResolver } from './resolve/blobs.ts'
import { createRegistryClients, type RegistryClients } from './resolve/clients.ts'
import { createKeep } from './resolve/keep.ts'
import { createListings } from './resolve/listings.ts'
import { createLocalSource } from './resolve/local.ts'
import { createManifestResolver } from './resolve/manifests.ts'
import { createPrefetcher } from './resolve/prefetch.ts'
import { createRegistryClient, type UpstreamCall } from './upstream/client.ts'
import type { RegistryClient } from './upstream/registry-client.ts'

/** What the pooled buffers of all answers may take together. */
const bufferBytes = 96 * 1024 * 1024

export interface ServerOptions {
  config: Config
  log: Logger
  version: string
  /** What the site is told to do at first. */
  site: Site
}

/** A node at work. Disposing it cuts what is still under way; {@link Server.drain} first lets it finish. */
export interface Server extends AsyncDisposable {
  readonly doors: readonly OpenDoor[]
  /** From now on the site is this one. */
  follow(site: Site): void
  /** Reads the certificates again. @throws naming the file; what was served before goes on */
  reloadCertificates(): Promise<void>
  /** Takes no more requests and settles when those under way are through, or when `signal` ends them. */
  drain(signal: AbortSignal): Promise<void>
}

/** What changes while a node runs. */
interface NodeState {
  site: Site
  draining: boolean
}

/** Chooses the adapters and joins the parts. @throws in one line what of the environment does not allow it to run */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { config, log, site } = options
  await using owned = new AsyncDisposableStack()
  const state: NodeState = { site, draining: false }
  const metrics = createMetrics()
  const stores = await openStores(options, metrics, owned)
  const certificates = config.tls.length > 0 ? await loadCertificates(config.tls) : undefined

  const via = createVia(`outport-${randomBytes(6).toString('hex')}`)
  const clients = owned.use(openClients(options, via, metrics))
  const fills = openFills(options, stores, metrics, owned)
  const follow = (next: Site) => {
    fills.limit(next.cache.fills)
    clients.follow(next.registries.values())
    state.site = next
    metrics.followRegistries(
      clients.all().map(({ settings, isDown, limits }) => ({ ...settings, isDown, limits })),
    )
  }
  follow(site)

  const handlers = createHandlers(options, state, { stores, clients, fills, metrics }, owned)
  const names = { site: () => state.site, mirror: config.mirror.name, service: config.site }
  const registry = createRegistryRoutes({ ...names, via, publicUrl: config.publicUrl, handlers })
  const tokens = createTokens(stores.tokenKey, config.site)
  const own = createPages({
    metrics,
    notReady: () => (state.draining ? 'the node is stopping' : undefined),
    degraded: () => troublesOf(clients, fills),
    metricsReaders: () => {
      if (config.metricsListen) return 'nobody'
      return onlyMirrors(state.site) ? 'everybody' : 'this machine'
    },
  })
  const pages = {
    ...own,
    '/service/token': createTokenPage({ ...names, tokens }),
    '/.well-known/jwks.json': createKeySetPage(tokens),
  }
  const apps: Apps = {
    doors: createHttpApp({ log, metrics, registry, pages }),
    metrics: createHttpApp({ log, metrics, registry: noRegistry, pages: own }),
  }
  const doors = await openDoors(doorsOf(config, apps), certificates)
  owned.defer(() => closeDoors(doors, AbortSignal.abort()))

  const held = owned.move()
  return {
    doors,
    follow,
    async reloadCertificates() {
      await certificates?.reload()
    },
    async drain(signal) {
      state.draining = true
      await closeDoors(doors, signal)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

interface Stores {
  metadata: Metadata
  blobs: BlobStore
  /** Folder of the growing files. */
  fills: string
  /** File of the key that signs tokens. */
  tokenKey: string
}

async function openStores(
  { config: { data: folder, durability }, log }: ServerOptions,
  metrics: Metrics,
  owned: AsyncDisposableStack,
): Promise<Stores> {
  const data = await prepareDataDirectory(folder)
  owned.use(await lockDataDirectory(folder))
  await clearLeftovers(data)
  const metadata = await openMetadata({ file: data.database, durability })
  owned.defer(() => metadata.close())
  const lifetime = new AbortController()
  owned.defer(() => lifetime.abort(new Error('the node is stopping')))
  const blobs = createFsBlobStore({
    directory: data.blobs,
    drafts: data.uploads,
    quarantine: data.quarantine,
    durability,
    lifetime: lifetime.signal,
    onRotten(digest, file) {
      metrics.rotten.inc()
      log.error({ digest, file }, 'a stored blob had other bytes')
    },
  })
  return { metadata, blobs, fills: data.fills, tokenKey: join(data.keys, 'token.json') }
}

function openClients({ config, log, version }: ServerOptions, via: Via, metrics: Metrics): RegistryClients {
  const observe = observerOf(metrics, log)
  return createRegistryClients(
    (settings) => createRegistryClient({ settings, version, via: via.header, proxy: config.proxy, observe }),
    (err) => log.warn({ err }, 'closing a registry client failed'),
  )
}

function openFills(
  { config, log, site }: ServerOptions,
  { blobs, metadata, fills: directory }: Stores,
  metrics: Metrics,
  owned: AsyncDisposableStack,
): Fills {
  return owned.use(
    createFills({
      directory,
      blobs,
      links: metadata.links,
      sync: config.durability === 'full',
      limits: site.cache.fills,
      metrics,
      onError: (err, digest) => log.warn({ err, digest }, 'fill failed'),
    }),
  )
}

interface Parts {
  stores: Stores
  clients: RegistryClients
  fills: Fills
  metrics: Metrics
}

function createHandlers(
  { log, site }: ServerOptions,
  state: NodeState,
  { stores, clients, fills, metrics }: Parts,
  owned: AsyncDisposableStack,
): RegistryHandlers {
  const { metadata, blobs } = stores
  const lifetime = new AbortController()
  // Ends before the fills do, so that nothing begins another one.
  owned.defer(() => lifetime.abort(new Error('the node is stopping')))
  const onError = (err: unknown) => log.error({ err }, 'could not keep what was fetched')
  const local = createLocalSource({ metadata, blobs, memoryBytes: site.cache.memory })
  const keep = createKeep({ blobs, metadata, onError })
  const shared = { metadata, local, keep, lifetime: lifetime.signal, onError }
  const sender = createBlobSender({
    pool: createBufferPool(bufferBytes),
    onBroken: (err) => log.warn({ err }, 'body broken off'),
  })
  const resolved = createResolved(clients)
  const listings = createListings(shared)
  const manifests = createManifestResolver(shared)
  const layers = createBlobResolver({
    ...shared,
    fills,
    ownerOf: (repository) => ownerOf(state.site, repository),
  })
  const prefetcher = createPrefetcher({
    manifests,
    blobs: layers,
    mayAsk: mayPrefetchFrom,
    lifetime: lifetime.signal,
    metrics,
    onError: (err, digest) => log.warn({ err, digest }, 'prefetch failed'),
  })
  return {
    manifest: createManifestHandler(manifests, prefetcher, resolved),
    blob: createBlobHandler(layers, sender, resolved),
    tags: createTagsHandler(listings, resolved),
    referrers: createReferrersHandler(listings, resolved),
  }
}

function mayPrefetchFrom(registry: RegistryClient): boolean {
  const isLimited = registry.limits().some(({ limitedForMs = 0 }) => limitedForMs > 0)
  return !registry.isDown() && !isLimited && !registry.isSparing()
}

function doorsOf({ listen, mirrorListen, metricsListen = [] }: Config, apps: Apps): Door[] {
  const mirrors = mirrorListen === 'off' ? [] : (mirrorListen ?? [])
  return [
    ...listen.map((listener): Door => ({ ...listener, face: 'registry', app: apps.doors })),
    ...mirrors.map((listener): Door => ({ ...listener, face: 'mirror', app: apps.doors })),
    ...metricsListen.map((listener): Door => ({ ...listener, face: 'metrics', app: apps.metrics })),
  ]
}

interface Apps {
  doors: HttpApp
  metrics: HttpApp
}

function noRegistry(): never {
  throw new RegistryError('NOT_FOUND')
}

function troublesOf(clients: RegistryClients, fills: Fills): string[] {
  const down = clients.all().filter((client) => client.isDown())
  const ofDisk = fills.trouble()
  return [
    ...down.map(({ settings }) => `registry ${settings.name} does not answer`),
    ...(ofDisk === undefined ? [] : [ofDisk]),
  ]
}

function observerOf(metrics: Metrics, log: Logger): (call: UpstreamCall) => void {
  return ({ registry, kind, method, outcome, ms }) => {
    metrics.upstreamRequests.inc({ registry, kind, outcome })
    // A blob's lies mostly show after its status: the fill counts them all.
    const isFill = kind === 'blob' && method === 'GET'
    if (outcome === 'lying' && !isFill) metrics.upstreamLies.inc({ registry })
    log.debug({ registry, kind, outcome, ms: Math.round(ms) }, 'upstream')
  }
}
