import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import type { BlobStore } from '../../../src/blobs/blob-store.ts'
import { createFsBlobStore } from '../../../src/blobs/fs.ts'
import { createGates } from '../../../src/flow/gates.ts'
import { createHolds } from '../../../src/flow/holds.ts'
import {
  collectGarbage,
  type GarbageAges,
  type GarbageEvent,
  type GarbageOptions,
} from '../../../src/jobs/garbage.ts'
import { createUsage } from '../../../src/jobs/usage.ts'
import { openMetadata } from '../../../src/metadata/open-metadata.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import type { Pattern } from '../../../src/oci/pattern.ts'
import { parseRepositoryName, parseTag, type RepositoryName } from '../../../src/oci/reference.ts'
import { createHoldings } from '../../../src/push/holdings.ts'
import { createMounts } from '../../../src/push/mounts.ts'
import { blobsOf, type Content, type Image } from '../../support/images.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

export type GarbageHome = Awaited<ReturnType<typeof garbageHome>>

/** The stores of a site that is pushed to, and what pushes to them, without its doors. */
export async function garbageHome() {
  await using owned = new AsyncDisposableStack()
  const directory = owned.use(await temporaryDirectory())
  const [drafts, quarantine] = [join(directory.path, 'drafts'), join(directory.path, 'quarantine')]
  await mkdir(drafts)
  const database = join(directory.path, 'outport.db')
  const metadata = await openMetadata({ file: database, durability: 'fast' })
  owned.defer(() => metadata.close())
  const files = createFsBlobStore({
    ...{ directory: join(directory.path, 'blobs'), drafts, quarantine, durability: 'fast' },
    ...{ lifetime: new AbortController().signal, onRotten() {} },
  })
  /** Awaited before the store does what it is asked for. */
  const hooks = { write: async (_: Digest) => {}, remove: async (_: Digest) => {} }
  const blobs: BlobStore = {
    ...files,
    async write(digest, bytes) {
      await hooks.write(digest)
      await files.write(digest, bytes)
    },
    async remove(digest, size) {
      await hooks.remove(digest)
      await files.remove(digest, size)
    },
  }
  const holds = createHolds<Digest>()
  const gates = createGates<RepositoryName>()
  const { now } = metadata.stored
  const onError = (error: unknown) => {
    throw error
  }
  const usage = owned.use(createUsage({ stored: metadata.stored, now, onError }))
  const pins: Pattern[] = []
  const upstreams = new Set<RepositoryName>()
  const holdings = createHoldings({ blobs, metadata, holds, gates, bytesOf: async () => undefined })
  const mounts = createMounts({ blobs, metadata, holds })
  const options: GarbageOptions = {
    ...{ metadata, blobs, usage, holds, gates, now },
    hasUpstream: (repository) => upstreams.has(repository),
    pins: () => pins,
    page: (work) => work(),
  }

  async function pushBlob(repository: RepositoryName, { digest, bytes }: Content): Promise<void> {
    using _hold = await holds.hold(digest)
    await files.write(digest, bytes)
    await metadata.recordBlob({ digest, size: bytes.length, repositories: [repository], origin: 'pushed' })
  }
  async function put(repository: RepositoryName, manifest: Content, ...tags: string[]): Promise<void> {
    const { bytes, mediaType: contentType } = manifest
    await holdings.put({ repository, bytes, contentType, tags: tags.map(parseTag), sparse: false })
  }
  const held = owned.move()
  return {
    ...{ metadata, blobs, holds, gates, usage, pins, holdings, mounts, hooks, options, database, drafts },
    ...{ pushBlob, put, upstreams },
    async pushImage(repository: RepositoryName, image: Image, ...tags: string[]): Promise<void> {
      for (const blob of blobsOf(image)) await pushBlob(repository, blob)
      await put(repository, image.manifest, ...tags)
    },
    /** All that is here was pushed, and used last, two hours earlier than it was. */
    age(): void {
      const connection = new Sqlite(database)
      connection.exec(`update link set created_at = created_at - ${2 * hour}`)
      connection.exec(`update stored set used_at = used_at - ${2 * hour}`)
      connection.close()
    },
    /** What is older than an hour. */
    async collect(more: Pick<GarbageAges, 'untaggedMs'> = {}) {
      const ages = { graceMs: hour, ...more }
      const events: GarbageEvent[] = []
      for await (const event of collectGarbage(options, ages, new AbortController().signal))
        events.push(event)
      return events
    },
    /** Of those that have a file. */
    async here(contents: readonly Content[]): Promise<Content[]> {
      const found = await Promise.all(contents.map(({ digest }) => blobs.find(digest)))
      return contents.filter((_, at) => found[at])
    },
    isLinked: async (repository: RepositoryName, { digest }: Content) =>
      (await metadata.links.find(repository, digest)) !== undefined &&
      (await metadata.stored.held([digest])).some(({ links }) =>
        links.some((link) => link.repository === repository),
      ),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

export const hour = 3_600_000

export const [team, other] = ['team/app', 'team/other'].map(parseRepositoryName) as [
  RepositoryName,
  RepositoryName,
]
