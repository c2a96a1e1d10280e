import { createFsBlobStore } from '../../../src/blobs/fs.ts'
import { digestOf } from '../../../src/oci/digest.ts'

/** Writes one blob. `argv`: directory, drafts, durability. */
const [, , directory = '', drafts = '', durability] = process.argv
const blobs = createFsBlobStore({
  directory,
  drafts,
  quarantine: `${directory}.quarantine`,
  durability: durability === 'fast' ? 'fast' : 'full',
  lifetime: new AbortController().signal,
  onRotten() {},
})
const bytes = Buffer.from('kept')
await blobs.write(digestOf(bytes), bytes)
