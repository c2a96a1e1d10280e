import type { FileHandle } from 'node:fs/promises'

/** Writes all of `batch`, which holds `count` bytes, also where the system takes it in two. */
export async function writeFully(
  file: FileHandle,
  batch: readonly Buffer[],
  count: number,
  position: number,
): Promise<void> {
  const { bytesWritten } = await file.writev([...batch], position)
  if (bytesWritten === count) return
  const rest = Buffer.concat(batch).subarray(bytesWritten)
  for (let at = 0; at < rest.length; ) {
    const { bytesWritten: more } = await file.write(rest, at, rest.length - at, position + bytesWritten + at)
    at += more
  }
}
