import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, realpath, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PassThrough, pipeline, type Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import type { BlobStore } from '../blobs/blob-store.ts'
import type { Room } from '../fill/room.ts'
import { messageOf } from '../flow/message-of.ts'
import { isDigest } from '../oci/digest.ts'
import { openLayout } from './layout.ts'
import { beginningOf, type OnFault, type Source } from './source.ts'

export interface ArchiveOptions {
  /** Where it is unpacked: on the file system of the blobs. */
  drafts: string
  blobs: Pick<BlobStore, 'find'>
  room: Pick<Room, 'take' | 'landed' | 'giveBack'>
  onFault: OnFault
  onBytes(count: number): void
}

/**
 * An OCI image layout in a tar, as it is or compressed, that of `docker save` too. What is not here yet is unpacked
 * beside the blobs, each under the name that its place in the layout gives it and none under its own.
 * @throws in one line for anything else
 */
export async function openArchive(
  file: string,
  options: ArchiveOptions,
  signal: AbortSignal,
): Promise<Source> {
  await using owned = new AsyncDisposableStack()
  const folder = join(options.drafts, `${randomUUID()}.import`)
  owned.defer(() => rm(folder, { recursive: true, force: true }))
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const root = await realpath(folder)
  const names = await unpack(file, root, options, signal)
  if (!names.has('oci-layout') || !names.has('index.json')) throw new Error(notALayout(file, names))
  const layout = await openLayout(root, options.onFault)
  const held = owned.move()
  return { ...layout, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

function notALayout(file: string, names: ReadonlySet<string>): string {
  if (names.has('manifest.json'))
    return `${file} is in the format of docker save before 25.0: load it into a newer docker and save it again, or skopeo copy docker-archive:FILE oci:FOLDER`
  return `${file} is no OCI image layout: it has no oci-layout and index.json`
}

async function unpack(
  file: string,
  root: string,
  { blobs, room, onFault, onBytes }: ArchiveOptions,
  signal: AbortSignal,
): Promise<Set<string>> {
  const { extract } = await import('tar-stream')
  const names = new Set<string>()
  let taken = 0
  let landed = 0
  try {
    const entries = extract()
    pipeline(await plainStream(file), entries, () => {})
    for await (const entry of entries) {
      signal.throwIfAborted()
      const { name: said, type, size = 0 } = entry.header
      const name = placeOf(said)
      if (name === undefined) {
        if (said.startsWith('/') || said.split('/').includes('..'))
          onFault(said, 'leads out of the archive; skipped')
      } else if (type !== 'file' && type !== 'contiguous-file') {
        onFault(said, `is a ${type} and no file; skipped`)
      } else if (names.has(name)) {
        onFault(said, 'is in the archive twice; the first one counts')
      } else {
        names.add(name)
        const digest = name.startsWith('blobs/') ? name.slice('blobs/'.length).replace('/', ':') : ''
        const isHere = isDigest(digest) && (await blobs.find(digest))?.size === size && size > mostManifest
        if (!isHere) {
          await room.take(size)
          taken += size
          await writeEntry(entry as AsyncIterable<Buffer>, join(root, name), signal, onBytes)
          room.landed(size)
          landed += size
        }
      }
      entry.resume()
    }
  } catch (cause) {
    signal.throwIfAborted()
    throw new Error(`${file}: ${messageOf(cause)}`, { cause })
  } finally {
    room.giveBack(taken, landed)
  }
  return names
}

/** Manifests are read again from the layout, so that what is small is unpacked in any case. */
const mostManifest = 4 * 1024 * 1024

function placeOf(said: string): string | undefined {
  const name = said.replace(/^(?:\.\/)+/, '')
  if (name === 'oci-layout' || name === 'index.json' || name === 'manifest.json') return name
  return /^blobs\/(?:sha256\/[0-9a-f]{64}|sha512\/[0-9a-f]{128})$/.test(name) ? name : undefined
}

async function writeEntry(
  entry: AsyncIterable<Buffer>,
  path: string,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await using handle = await open(path, 'wx', 0o600)
  for await (const chunk of entry) {
    signal.throwIfAborted()
    await handle.writeFile(chunk)
    onBytes(chunk.length)
  }
}

async function plainStream(file: string): Promise<Readable> {
  const magic = (await beginningOf(file, 4)).toString('hex')
  // Not before: nobody hears yet that it cannot be opened.
  const stream = createReadStream(file, { highWaterMark: 1024 * 1024 })
  const unpacked = magic.startsWith('1f8b')
    ? createGunzip()
    : magic === '28b52ffd'
      ? createZstdDecompress()
      : new PassThrough()
  return pipeline(stream, unpacked, () => {})
}
