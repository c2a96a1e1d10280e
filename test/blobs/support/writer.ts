import { createFsBlobStore } from '../../../src/blobs/fs.ts'
import { digestOf } from '../../../src/oci/digest.ts'

/** Writes one blob. `argv`: directory, drafts, durability. */
const [, , directory = '', drafts = '', durability] = process.argv
const blobs = createFsBlobStore({ directory, drafts, durability: durability === 'fast' ? 'fast' : 'full' })
const bytes = Buffer.from('kept')
await blobs.write(digestOf(bytes), bytes)
