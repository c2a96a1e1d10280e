import { constants, copyFile, rm } from 'node:fs/promises'
import type { SpoiltBlob } from '../blobs/blob-store.ts'

/**
 * Makes a growing file and its marks of what is left of a blob, as if a download had come so far: what of it is good is
 * found out when the file is opened, and only the rest is fetched. Where that cannot be, there is no file.
 */
export async function salvage({ file, extents }: SpoiltBlob, part: string, marks: string): Promise<void> {
  try {
    await copyFile(extents, marks)
    // The spoilt file stays where it is until it is replaced.
    await copyFile(file, part, constants.COPYFILE_FICLONE)
  } catch {
    await Promise.all([rm(part, { force: true }), rm(marks, { force: true })])
  }
}
