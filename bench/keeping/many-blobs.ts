import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { openMetadata } from '../../src/metadata/open-metadata.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { manifestType } from '../support/content.ts'

const blobType = 'application/octet-stream'
const repositories = 1000
const blobsOfImage = 9
const blobBytes = 1024

/** When they were looked at: long after now, so that scrub leaves them alone. */
const farAway = 4_000_000_000_000

/** Nine small blobs and their manifest. */
export const rowsOfImage = blobsOfImage + 1

/** A data folder as years of pulls leave it, made without them. The images were used a second after one another, until now. */
export async function makeManyBlobs(data: string, images: number): Promise<void> {
  await mkdir(data, { recursive: true, mode: 0o700 })
  const file = join(data, 'outport.db')
  await (await openMetadata({ file, durability: 'fast' })).close()
  const database = new Sqlite(file)
  const insert = insertsInto(database)
  const now = Date.now()
  try {
    database.exec('begin')
    for (let at = 0; at < images; at++) await addImage(data, insert, at, now - (images - at) * 1000)
    database.exec('commit')
  } finally {
    database.close()
  }
}

type Inserts = ReturnType<typeof insertsInto>

async function addImage(data: string, insert: Inserts, at: number, usedAt: number): Promise<void> {
  const repository = `docker.io/library/app${at % repositories}`
  const blobs = Array.from({ length: blobsOfImage }, (_, each) => contentOf(`image ${at}, blob ${each}`))
  const [config, ...layers] = blobs.map(({ digest, bytes }) => ({
    mediaType: blobType,
    digest,
    size: bytes.length,
  }))
  const manifest = contentOf(JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers }))
  const size = manifest.bytes.length
  insert.manifest.run(manifest.digest, manifestType, size)
  insert.tag.run(repository, `v${Math.floor(at / repositories)}`, manifest.digest, manifestType, size, usedAt)
  for (const { digest, bytes } of blobs) insert.reference.run(manifest.digest, digest, blobType, bytes.length)
  for (const [index, { digest, bytes }] of [manifest, ...blobs].entries()) {
    insert.link.run(repository, digest, usedAt)
    insert.stored.run(digest, bytes.length, usedAt + index, farAway)
  }
  await Promise.all([manifest, ...blobs].map((content) => writeBlob(data, content)))
}

interface Content {
  digest: string
  bytes: Buffer
}

function contentOf(text: string): Content {
  const bytes = Buffer.from(text.startsWith('{') ? text : text.padEnd(blobBytes, '.'))
  return { digest: digestOf(bytes), bytes }
}

async function writeBlob(data: string, { digest, bytes }: Content): Promise<void> {
  const hex = digest.slice(digest.indexOf(':') + 1)
  const folder = join(data, 'blobs', 'sha256', hex.slice(0, 2))
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(join(folder, hex), bytes, { mode: 0o600 })
}

function insertsInto(database: Sqlite.Database) {
  return {
    manifest: database.prepare('insert into manifest (digest, media_type, size) values (?, ?, ?)'),
    reference: database.prepare(
      'insert into reference (parent, child, media_type, size) values (?, ?, ?, ?)',
    ),
    link: database.prepare(
      `insert into link (repository, digest, origin, created_at) values (?, ?, 'filled', ?)`,
    ),
    tag: database.prepare(
      'insert into tag (repository, name, digest, media_type, size, checked_at) values (?, ?, ?, ?, ?, ?)',
    ),
    stored: database.prepare('insert into stored (digest, size, used_at, checked_at) values (?, ?, ?, ?)'),
  }
}
