import { join } from 'node:path'
import type { Metadata } from '../../src/metadata/metadata.ts'
import { openMetadata } from '../../src/metadata/open-metadata.ts'
import { type MetadataHome, metadataSuite } from '../suites/metadata-suite.ts'
import { temporaryDirectory } from '../support/temporary.ts'

metadataSuite('metadata in SQLite', () => sqliteHome())
metadataSuite('metadata in SQLite, next to nothing cached', () => sqliteHome(1))

async function sqliteHome(cacheEntries?: number): Promise<MetadataHome> {
  const directory = await temporaryDirectory()
  const opened: Metadata[] = []
  return {
    async open() {
      const metadata = await openMetadata({
        file: join(directory.path, 'outport.db'),
        durability: 'full',
        cacheEntries,
      })
      opened.push(metadata)
      return metadata
    },
    async [Symbol.asyncDispose]() {
      for (const metadata of opened) await metadata.close()
      await directory[Symbol.asyncDispose]()
    },
  }
}
