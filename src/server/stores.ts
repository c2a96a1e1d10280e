import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobStore } from '../blobs/blob-store.ts'
import { createFsBlobStore } from '../blobs/fs.ts'
import type { Config } from '../config/config.ts'
import { clearLeftovers, prepareDataDirectory } from '../coordination/data-directory.ts'
import { lockDataDirectory } from '../coordination/data-lock.ts'
import { createFills, type Fills, type FillsOptions } from '../fill/fills.ts'
import { findLeftovers, type Leftovers } from '../fill/leftovers.ts'
import { createDiskWatch, type DiskWatch } from '../flow/disk-trouble.ts'
import { createGates, type Gates } from '../flow/gates.ts'
import { createHolds, type Holds } from '../flow/holds.ts'
import { requestId } from '../flow/request-scope.ts'
import { createGc, type Gc } from '../jobs/gc.ts'
import { openPins, type Pins } from '../jobs/pins.ts'
import { createScrub, type Scrub, type ScrubOptions } from '../jobs/scrub.ts'
import { type DiskSpace, openSpace, type Space } from '../jobs/space.ts'
import { removeUnnoted } from '../jobs/unnoted.ts'
import { createUsage, type Usage } from '../jobs/usage.ts'
import type { Logger } from '../log.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { openMetadata } from '../metadata/open-metadata.ts'
import type { Metrics } from '../metrics.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { byProject } from '../projects/locate.ts'
import type { CacheSettings, Site } from '../projects/project.ts'
import { openUploadStates, type UploadStates } from '../push/upload-states.ts'
import { openUploads, type Uploads } from '../push/uploads.ts'
import { type ArrivalsOptions, clearArrivals } from '../transfer/arrivals.ts'

export interface Stores {
  metadata: Metadata
  /** Its file. */
  database: string
  blobs: BlobStore
  /** Folder of the growing files. */
  fills: string
  leftovers: Leftovers
  /** Of digests that something is about to point to. */
  holds: Holds<Digest>
  /** Shared while a manifest is put, closed while something is unlinked. */
  gates: Gates<RepositoryName>
  usage: Usage
  space: Space
  disk(): Promise<DiskSpace>
  pins: Pins
  /** Where bytes stand until they are whole, and whether they are synced then. */
  drafts: string
  sync: boolean
  /** See {@link ArrivalsOptions.file}. */
  arrivals: string
  uploads: Uploads
  /** How the disk fares with what is pushed. */
  pushDisk: DiskWatch
  uploadStates: UploadStates
  /** Folder of keys and verifiers. */
  keys: string
}

export interface StoresOptions {
  config: Config
  log: Logger
  metrics: Metrics
}

/** @throws in one line what of the data directory does not allow it */
export async function openStores(
  { config: { data: folder, durability, site }, log, metrics }: StoresOptions,
  cache: CacheSettings,
  owned: AsyncDisposableStack,
): Promise<Stores> {
  const data = await prepareDataDirectory(folder)
  owned.use(await lockDataDirectory(folder))
  const adopted = await clearLeftovers(data)
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
      log.part('store').error({ digest, file }, 'a stored blob had other bytes')
    },
  })
  const onError = (err: unknown) => log.part('jobs').warn({ err }, 'keeping the cache within its budget')
  const leftovers = await findLeftovers(data.fills)
  const holds = createHolds<Digest>()
  const gates = createGates<RepositoryName>()
  await clearArrivals({ file: data.arrivals, blobs, stored: metadata.stored, holds })
  const { now } = metadata.stored
  const usage = owned.use(createUsage({ stored: metadata.stored, onError, now }))
  const pins = await openPins(metadata.pins)
  const disk = () => diskSpaceOf(data.blobs)
  const noUploads = { bytes: 0, drop: async () => 0 }
  let uploads: Uploads | undefined
  const space = owned.use(
    await openSpace({
      ...{ stored: metadata.stored, blobs, leftovers, usage, holds, pins, settings: cache, onError },
      ...{ now, disk },
      idleUploads: () => uploads?.idle ?? noUploads,
      onEvicted(count, bytes) {
        metrics.evicted.inc(count)
        metrics.evictedBytes.inc(bytes)
        log.part('jobs').debug({ count, bytes }, 'evicted')
      },
    }),
  )
  // A node that was killed between a blob's place and its row has left them.
  await removeUnnoted(adopted, { blobs, stored: metadata.stored, holds })
  const sync = durability === 'full'
  uploads = owned.use(
    await openUploads({
      ...{ directory: data.uploads, blobs, metadata, holds, room: space, sync, metrics },
      onError: (err) => log.part('store').warn({ err }, 'keeping uploads'),
    }),
  )
  const uploadStates = await openUploadStates(join(data.keys, 'uploads'), site)
  const { fills, uploads: drafts, arrivals, keys, database } = data
  return {
    ...{ metadata, blobs, leftovers, holds, gates, usage, space, pins, disk, uploads, uploadStates },
    ...{ fills, drafts, arrivals, keys, sync, database, pushDisk: createDiskWatch() },
  }
}

async function diskSpaceOf(folder: string): Promise<DiskSpace> {
  const { bsize, blocks, bavail } = await statfs(folder)
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
}

export function openScrub(
  { log: all, metrics }: StoresOptions,
  { blobs, metadata }: Stores,
  heal: ScrubOptions['heal'],
  { scrub }: CacheSettings,
): Scrub {
  const log = all.part('jobs')
  return createScrub({
    stored: metadata.stored,
    now: metadata.stored.now,
    blobs,
    rules: scrub,
    onRead: (bytes) => metrics.scrubbedBytes.inc(bytes),
    onLooked(outcome) {
      metrics.scrubbed.inc({ outcome })
      metrics.scrubbedAt.setToCurrentTime()
    },
    async heal(digest, signal) {
      const isHealed = await heal(digest, signal)
      if (isHealed) metrics.healed.inc()
      log.info({ digest, isHealed }, 'a stored blob that was not right any more was looked for again')
    },
    onError: (err) => log.warn({ err }, 'checking what is stored'),
  })
}

/** @param site as it is now */
export function openGc({ log: all, metrics }: StoresOptions, stores: Stores, site: () => Site): Gc {
  const { metadata, pins, space } = stores
  const log = all.part('jobs')
  return createGc({
    ...stores,
    now: metadata.stored.now,
    rules: site().gc,
    hasUpstream: (repository) => byProject(site(), repository)?.upstream !== undefined,
    pins: () => [...site().cache.pins, ...pins.patterns()],
    onEnd({ outcome, error, ms, ...gone }) {
      const { manifests, blobs, bytes } = gone
      metrics.gcRuns.inc({ outcome })
      metrics.gcUnlinked.inc({ kind: 'manifest' }, manifests)
      metrics.gcUnlinked.inc({ kind: 'blob' }, blobs)
      metrics.gcBytes.inc(bytes)
      if (outcome === 'done') metrics.gcAt.setToCurrentTime()
      if (outcome === 'failed') log.error({ ...gone, ms, err: error }, 'garbage could not be collected')
      else log.info({ ...gone, ms, outcome }, 'garbage collected')
      // Its account is of what is stored.
      if (bytes > 0)
        space.tidy().catch((err: unknown) => log.warn({ err }, 'keeping the cache within its budget'))
    },
  })
}

export function openFills(
  { config, log: all, metrics }: StoresOptions,
  { blobs, metadata, leftovers, holds, space, fills: directory }: Stores,
  limits: FillsOptions['limits'],
  owned: AsyncDisposableStack,
): Fills {
  const log = all.part('fill')
  return owned.use(
    createFills({
      ...{ directory, blobs, metadata, leftovers, holds },
      room: space,
      sync: config.durability === 'full',
      limits,
      metrics,
      onStarted: ({ digest, registry }) => log.trace({ id: requestId(), digest, registry }, 'fill started'),
      onKept: ({ digest, registry }, ms) => log.debug({ digest, registry, ms: Math.round(ms) }, 'fill kept'),
      onError: (err, digest) => log.warn({ err, digest }, 'fill failed'),
    }),
  )
}
