import { createCipheriv, randomBytes } from 'node:crypto'
import { constants, type FileHandle, open, rename, rm, writeFile } from 'node:fs/promises'

/** A blob's bytes are checked and mended in pieces of this size. */
export const extentBytes = 512 * 1024

const keyBytes = 16

/** Hex of a key or tag, and the end of its line. */
const lineBytes = 2 * keyBytes + 1

/** By what a blob's extents are known again. */
export interface Extents {
  readonly key: Buffer
  /** Hex, in the order of the extents; `undefined` of one that is not known. */
  readonly tags: readonly (string | undefined)[]
}

/** The tag of one extent, whose bytes come in order. */
export interface ExtentTag {
  update(bytes: Uint8Array): void
  /** Once, when it has seen all of them. */
  hex(): string
}

export function createKey(): Buffer {
  return randomBytes(keyBytes)
}

/**
 * A GMAC (NIST SP 800-38D), which costs a third of a SHA-256. It finds what a disk has lost or changed: what speaks for
 * a blob is its digest. Its key is random, so that nobody who sends bytes can choose some with the tag of others.
 */
export function createExtentTag(key: Buffer, extent: number): ExtentTag {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(extent, 8)
  const mac = createCipheriv('aes-128-gcm', key, nonce)
  return {
    update: (bytes) => void mac.setAAD(bytes),
    hex() {
      mac.final()
      return mac.getAuthTag().toString('hex')
    },
  }
}

/** A blob of no bytes has one, too. */
export function extentCountOf(size: number): number {
  return Math.max(1, Math.ceil(size / extentBytes))
}

/**
 * Of every extent of a blob of `size`; `undefined` when the file is not there or is not about so many bytes. Never waits
 * for or follows what somebody put in its place.
 */
export async function readExtents(file: string, size: number): Promise<Extents | undefined> {
  const length = (1 + extentCountOf(size)) * lineBytes
  try {
    await using handle = await openUnlinked(file)
    const stats = await handle.stat()
    if (!stats.isFile() || stats.size !== length) return undefined
    return extentsOf(await handle.readFile('latin1'))
  } catch {
    // Without it, or with a wrong one, the whole blob is hashed.
    return undefined
  }
}

/** The file as the blob's digest says it must be; `draft` is where it stands until it is whole. */
export async function writeExtents(file: string, extents: Extents, draft: string): Promise<void> {
  try {
    await writeFile(draft, textOf(extents), { mode: 0o600, flag: 'wx' })
    await rename(draft, file)
  } finally {
    await rm(draft, { force: true })
  }
}

/** A line each, the key's first; that of a tag that is not known is blank. */
export function textOf({ key, tags }: Extents): string {
  return [key.toString('hex'), ...Array.from(tags, (tag) => tag ?? '')].map(lineOf).join('')
}

/** Where in a file of them the line of an extent begins. */
export function offsetOfLine(extent: number): number {
  return (1 + extent) * lineBytes
}

export function lineOf(hex: string): string {
  return `${hex.padEnd(lineBytes - 1)}\n`
}

/** What {@link textOf} wrote, as far as it can be read; `undefined` without a key. */
export function extentsOf(text: string): Extents | undefined {
  const [key, ...tags] = Array.from({ length: Math.floor(text.length / lineBytes) }, (_, index) => {
    const line = text.slice(index * lineBytes, (index + 1) * lineBytes)
    return /^[0-9a-f]+\n$/.test(line) ? line.slice(0, -1) : undefined
  })
  return key === undefined ? undefined : { key: Buffer.from(key, 'hex'), tags }
}

/** Opens a file for reading and nothing that only looks like one: no link is followed, no pipe waited for. */
export function openUnlinked(file: string): Promise<FileHandle> {
  return open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
}
