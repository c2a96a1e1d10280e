import { constants, copyFile, open, readFile, rm, writeFile } from 'node:fs/promises'
import type { SpoiltBlob } from '../blobs/blob-store.ts'
import { extentBytes } from '../blobs/extents.ts'
import { createExtentHashes, marksPerExtent } from './extent-hashes.ts'
import { textOfMarks } from './marks.ts'

/**
 * Makes a growing file and its marks of what is left of a blob, as if a download had come so far: what of it is good is
 * found out when the file is opened, and only the rest is fetched. Where that cannot be, there is no file.
 */
export async function salvage({ file, extents }: SpoiltBlob, part: string, marks: string): Promise<void> {
  try {
    const lines = (await readFile(extents, 'latin1')).trimEnd().split('\n')
    const known: string[] = []
    for (const [extent, line] of lines.entries()) known[(extent + 1) * marksPerExtent - 1] = line
    const last = lines.length - 1
    known.length = last * marksPerExtent
    known.push(...(await marksWithin(file, last, lines[last])))
    await writeFile(marks, textOfMarks(known), { mode: 0o600 })
    // The spoilt file stays where it is until it is replaced.
    await copyFile(file, part, constants.COPYFILE_FICLONE)
  } catch {
    await Promise.all([rm(part, { force: true }), rm(marks, { force: true })])
  }
}

/** Of the last extent, which ends at no mark. None where its hash is not `line`. */
async function marksWithin(file: string, extent: number, line: string | undefined): Promise<string[]> {
  await using handle = await open(file)
  const buffer = Buffer.allocUnsafe(extentBytes)
  const start = extent * extentBytes
  const { bytesRead } = await handle.read(buffer, 0, extentBytes, start)
  const hashes = createExtentHashes()
  hashes.update(start, buffer.subarray(0, bytesRead))
  const marks = hashes.takeMarks().map(({ hex }) => hex)
  return hashes.lines()[extent] === line ? marks : []
}
