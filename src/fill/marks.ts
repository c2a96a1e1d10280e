import { constants, type FileHandle, open, readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createExtentTag,
  createKey,
  type Extents,
  extentBytes,
  extentsOf,
  lineOf,
  offsetOfLine,
  textOf,
} from '../blobs/extents.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { type Coverage, createCoverage } from './coverage.ts'
import type { Mark } from './extent-tags.ts'

/**
 * The file beside a growing file with the tags of its extents, as of those beside a blob. After a power cut it may be
 * older or newer than the data, which is why {@link cutBack} believes no line before it has read the bytes.
 */
export interface MarksFile {
  /** Writes them soon, together with those that come meanwhile. */
  note(marks: readonly Mark[]): void
  /** Settles when all are written. */
  close(): Promise<void>
  /** Nobody needs the file any more: settles when nothing is written to it any more. */
  abandon(): Promise<void>
}

/** Between two writes, of which one is under way at a time: what comes in this time, a kill may cost. */
const noteMs = 20

/**
 * @param key of the tags
 * @param watch hears of a write that fails
 */
export function createMarksFile(
  file: string,
  key: Buffer,
  watch: (work: Promise<void>) => Promise<void>,
): MarksFile {
  let noted: Mark[] = []
  let opened: FileHandle | undefined
  let writing: Promise<void> | undefined
  const hurry = new AbortController()

  async function create(): Promise<FileHandle> {
    const handle = await open(file, constants.O_RDWR | constants.O_CREAT, 0o600)
    await handle.write(textOf({ key, tags: [] }), 0)
    return handle
  }
  async function write(marks: readonly Mark[]): Promise<void> {
    const handle = opened ?? (await create())
    opened = handle
    const lines = runsOf(marks).map(({ extent, hexes }) =>
      handle.write(hexes.map(lineOf).join(''), offsetOfLine(extent)),
    )
    await Promise.all(lines)
  }
  async function drain(): Promise<void> {
    while (noted.length > 0) {
      await sleep(noteMs, undefined, { signal: hurry.signal }).catch(() => {})
      const marks = noted
      noted = []
      if (marks.length > 0) await write(marks)
    }
  }
  function start(): void {
    writing ??= watch(drain()).then(() => {
      writing = undefined
      if (noted.length > 0) start()
    })
  }
  async function close(): Promise<void> {
    hurry.abort()
    while (writing) await writing
    const its = opened
    opened = undefined
    // It only saves bytes when the node is killed: nothing depends on it.
    await its?.close().catch(() => {})
  }
  return {
    note(marks) {
      if (marks.length === 0) return
      noted.push(...marks)
      start()
    },
    close,
    async abandon() {
      noted = []
      await close()
    },
  }
}

/** Lines that follow upon each other are written at once. */
function runsOf(marks: readonly Mark[]): { extent: number; hexes: string[] }[] {
  const runs: { extent: number; hexes: string[] }[] = []
  for (const { extent, hex } of marks) {
    const last = runs.at(-1)
    if (last && last.extent + last.hexes.length === extent) last.hexes.push(hex)
    else runs.push({ extent, hexes: [hex] })
  }
  return runs
}

/**
 * What of `part` can be believed: the extents that have their tags. Both files are cut back to that. The end of a blob,
 * of `statedSize` or as far as it goes, is never believed: upstream is asked once more for it.
 * @param update is shown the believed bytes; the buffer is used again when it returns
 */
export async function cutBack(
  part: FileHandle,
  marksFile: string,
  statedSize: number | undefined,
  update: (position: number, bytes: Uint8Array) => void,
): Promise<{ coverage: Coverage; extents: Extents }> {
  const coverage = createCoverage()
  const text = await unlessAbsent(readFile(marksFile, 'latin1'))
  const { key, tags } = extentsOf(text ?? '') ?? { key: createKey(), tags: [] }
  const end = (statedSize ?? (await part.stat()).size) - 1
  const buffer = Buffer.allocUnsafe(extentBytes)
  const believed: string[] = []
  for (const [extent, hex] of tags.entries()) {
    const start = extent * extentBytes
    if (hex === undefined || start + extentBytes > end) continue
    const { bytesRead } = await part.read(buffer, 0, extentBytes, start)
    const tag = createExtentTag(key, extent)
    tag.update(buffer)
    if (bytesRead < extentBytes || tag.hex() !== hex) continue
    believed[extent] = hex
    update(start, buffer)
    coverage.add({ start, end: start + extentBytes })
  }
  await part.truncate(believed.length * extentBytes)
  const extents = { key, tags: believed }
  await writeFile(marksFile, textOf(extents), { mode: 0o600 })
  return { coverage, extents }
}
