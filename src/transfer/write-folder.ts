import { createHash, randomUUID } from 'node:crypto'
import {
  constants,
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf } from '../flow/message-of.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { algorithmOf, type Digest, digestAlgorithms, hexOf } from '../oci/digest.ts'
import type { IndexEntry } from './layout-index.ts'
import { indexText } from './layout-index.ts'
import { checked, type LayoutWriter, layoutFile } from './layout-writer.ts'

const draftEnd = '.outport-part'

/**
 * An OCI image layout in a folder, made or added to. What is there and right is not written again; the index is last.
 * @param hardLink blobs are links to this site's own: who writes to them spoils those
 * @throws in one line where something else stands
 */
export async function openFolderWriter(folder: string, hardLink: boolean): Promise<LayoutWriter> {
  const names = (await unlessAbsent(readdir(folder))) ?? []
  const before = names.includes('index.json') ? await entriesIn(folder) : []
  if (names.length > 0 && !names.includes('oci-layout'))
    throw new Error(`${folder} is not empty, and no OCI image layout`)
  for (const algorithm of digestAlgorithms) {
    const blobs = join(folder, 'blobs', algorithm)
    for (const name of (await unlessAbsent(readdir(blobs))) ?? [])
      if (name.endsWith(draftEnd)) await rm(join(blobs, name))
  }
  await mkdir(folder, { recursive: true })
  await replace(join(folder, layoutFile.name), layoutFile.text)

  async function putFile(digest: Digest, source: string, signal: AbortSignal): Promise<boolean> {
    const path = join(folder, 'blobs', algorithmOf(digest), hexOf(digest))
    if (await isRight(path, digest, signal)) return false
    await mkdir(dirname(path), { recursive: true })
    const draft = `${path}.${randomUUID()}${draftEnd}`
    try {
      if (await shareTo(source, draft, hardLink)) {
        for await (const _ of checked(draft, digest, signal));
      } else {
        await using to = await open(draft, 'wx', 0o644)
        for await (const bytes of checked(source, digest, signal)) await to.writeFile(bytes)
        await to.sync()
      }
      await rename(draft, path)
    } finally {
      await rm(draft, { force: true })
    }
    return true
  }

  return {
    putFile,
    async putBytes(digest, bytes, signal) {
      const path = join(folder, 'blobs', algorithmOf(digest), hexOf(digest))
      if (await isRight(path, digest, signal)) return
      await mkdir(dirname(path), { recursive: true })
      await replace(path, bytes)
    },
    finish: (entries) => replace(join(folder, 'index.json'), indexText(entries, before)),
    async [Symbol.asyncDispose]() {},
  }
}

async function isRight(path: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
  const hash = createHash(algorithmOf(digest))
  const handle = await unlessAbsent(open(path, constants.O_RDONLY | constants.O_NOFOLLOW))
  if (!handle) return false
  for await (const bytes of handle.createReadStream({ signal })) hash.update(bytes)
  return hash.digest('hex') === hexOf(digest)
}

/** Without a second copy of the bytes. */
async function shareTo(source: string, draft: string, hardLink: boolean): Promise<boolean> {
  try {
    if (hardLink) await link(source, draft)
    else await copyFile(source, draft, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch {
    await rm(draft, { force: true })
    return false
  }
}

async function entriesIn(folder: string): Promise<IndexEntry[]> {
  const file = join(folder, 'index.json')
  try {
    const { manifests } = JSON.parse(await readFile(file, 'utf8'))
    if (Array.isArray(manifests)) return manifests
  } catch (cause) {
    throw new Error(`${file}: ${messageOf(cause)}`, { cause })
  }
  throw new Error(`${file}: expected an image index, found none`)
}

async function replace(path: string, content: string | Buffer): Promise<void> {
  const draft = `${path}.${randomUUID()}${draftEnd}`
  try {
    await writeFile(draft, content, { flag: 'wx', flush: true })
    await rename(draft, path)
  } finally {
    await rm(draft, { force: true })
  }
}
