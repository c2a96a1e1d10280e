import { createSteadyClock } from '../flow/steady-clock.ts'
import { type DatabaseOptions, openDatabase } from './database.ts'
import { createGarbage } from './garbage.ts'
import { createImages } from './images.ts'
import { createLinks } from './links.ts'
import { createManifests } from './manifests.ts'
import type { Metadata } from './metadata.ts'
import { createPins } from './pins.ts'
import { createPushes } from './pushes.ts'
import { createWriteManifest } from './record-manifest.ts'
import { createStored, newestUse } from './stored.ts'
import { createTags } from './tags.ts'

export interface MetadataOptions extends DatabaseOptions {
  /** Rows of each kind kept in memory, absent ones too. Default 10,000. */
  cacheEntries?: number
}

export async function openMetadata({
  cacheEntries = 10_000,
  ...options
}: MetadataOptions): Promise<Metadata> {
  const database = await openDatabase(options)
  const links = createLinks(database, cacheEntries)
  const tags = createTags(database, cacheEntries)
  const manifests = createManifests(database, cacheEntries)
  const now = createSteadyClock(await newestUse(database))
  const stored = createStored(database, { links, manifests, now })
  const writeManifest = createWriteManifest(database, { links, tags, manifests, stored })

  return {
    links,
    tags,
    manifests,
    stored,
    images: createImages(database),
    pins: createPins(database),
    pushes: createPushes(database, { links, tags, stored }, writeManifest),
    garbage: createGarbage(database, links),
    recordManifest({ tag, ...record }) {
      const { repository, digest, mediaType, size } = record
      return writeManifest(record, tag ? [{ repository, digest, mediaType, size, ...tag }] : [])
    },
    recordBlob({ digest, size, repositories, origin }) {
      const held = repositories.map((repository) => ({ repository, digest, origin }))
      const written = database.write([...links.insert(held), stored.upsert({ digest, size, usedAt: now() })])
      links.remember(held, written)
      return written
    },
    trouble: database.trouble,
    close: () => database.close(),
  }
}
