import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { indexText } from './layout-index.ts'
import { checked, type LayoutWriter, layoutFile } from './layout-writer.ts'

/** An OCI image layout as a tar that has its name when it is whole. */
export async function openArchiveFile(file: string): Promise<LayoutWriter> {
  const draft = `${file}.outport-part`
  const output = createWriteStream(draft, { mode: 0o644, flush: true })
  await once(output, 'open')
  const writer = await openArchiveWriter(output)
  return {
    ...writer,
    async finish(entries) {
      await writer.finish(entries)
      output.end()
      await finished(output)
      await rename(draft, file)
    },
    async [Symbol.asyncDispose]() {
      await writer[Symbol.asyncDispose]()
      output.destroy()
      await rm(draft, { force: true })
    },
  }
}

/** The same as a stream, in the order in which it comes. */
export async function openArchiveWriter(output: Writable): Promise<LayoutWriter> {
  const { pack } = await import('tar-stream')
  const tar = pack()
  const written = passOn(tar as AsyncIterable<Uint8Array>, output)
  const broken = new AbortController()
  written.catch((error: unknown) => broken.abort(error))
  const { signal: ends } = broken
  const there = new Set<Digest>()
  let isWhole = false

  async function put(
    name: string,
    size: number,
    pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  ): Promise<void> {
    const entry = tar.entry({ name, size, mode: 0o644, mtime: new Date(0) })
    const ended = once(entry, 'close', { signal: ends })
    ended.catch(() => {})
    for await (const piece of pieces) {
      // It keeps what it is given, and the piece is only lent.
      const isFull = !entry.write(Buffer.from(piece))
      if (isFull) await once(entry, 'drain', { signal: ends })
    }
    entry.end(undefined)
    await ended
  }
  const nameOf = (digest: Digest) => `blobs/${algorithmOf(digest)}/${hexOf(digest)}`
  await put(layoutFile.name, layoutFile.text.length, [Buffer.from(layoutFile.text)])

  return {
    async putFile(digest, file, signal) {
      if (there.has(digest)) return false
      there.add(digest)
      await put(nameOf(digest), (await stat(file)).size, checked(file, digest, signal))
      return true
    },
    async putBytes(digest, bytes) {
      if (there.has(digest)) return
      there.add(digest)
      await put(nameOf(digest), bytes.length, [bytes])
    },
    async finish(entries) {
      const text = Buffer.from(indexText(entries, []))
      await put('index.json', text.length, [text])
      tar.finalize()
      await written
      isWhole = true
    },
    async [Symbol.asyncDispose]() {
      if (!isWhole) tar.destroy(new Error('broken off'))
    },
  }
}

/** Settles when all of it has been taken; `output` stays open. */
async function passOn(tar: AsyncIterable<Uint8Array>, output: Writable): Promise<void> {
  for await (const chunk of tar) if (!output.write(chunk)) await once(output, 'drain')
  await new Promise<void>((resolve, reject) => {
    output.write('', (error) => (error ? reject(error) : resolve()))
  })
}
