import { createHash } from 'node:crypto'
import { constants, type FileHandle, open, readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { extentBytes, lineBytes } from '../blobs/extents.ts'
import { unlessAbsent } from '../flow/unless-absent.ts'
import { type Coverage, createCoverage } from './coverage.ts'
import { type Mark, markBytes, marksPerExtent } from './extent-hashes.ts'

/**
 * The file of marks beside a growing file: a line of hex for each, at the place that its extent and count give it. After
 * a power cut it may be older or newer than the data, which is why {@link cutBack} believes no line before it has hashed
 * the bytes.
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

/** @param watch hears of a write that fails */
export function createMarksFile(file: string, watch: (work: Promise<void>) => Promise<void>): MarksFile {
  let noted: Mark[] = []
  let opened: FileHandle | undefined
  let writing: Promise<void> | undefined
  const hurry = new AbortController()

  async function write(marks: readonly Mark[]): Promise<void> {
    const handle = opened ?? (await open(file, constants.O_RDWR | constants.O_CREAT, 0o600))
    opened = handle
    const lines = runsOf(marks).map(({ line, hexes }) =>
      handle.write(hexes.map((hex) => `${hex}\n`).join(''), line * lineBytes),
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
function runsOf(marks: readonly Mark[]): { line: number; hexes: string[] }[] {
  const runs: { line: number; hexes: string[] }[] = []
  for (const { extent, count, hex } of marks) {
    const line = extent * marksPerExtent + count - 1
    const last = runs.at(-1)
    if (last && last.line + last.hexes.length === line) last.hexes.push(hex)
    else runs.push({ line, hexes: [hex] })
  }
  return runs
}

/**
 * What of `part` can be believed: of each extent as much as hashes to one of its marks. Both files are cut back to that.
 * The end of a blob, of `statedSize` or as far as it goes, is never believed: upstream is asked once more for it.
 * @param update is shown the believed bytes; the buffer is used again when it returns
 */
export async function cutBack(
  part: FileHandle,
  marksFile: string,
  statedSize: number | undefined,
  update: (position: number, bytes: Uint8Array) => void,
): Promise<Coverage> {
  const coverage = createCoverage()
  const lines = await linesOf(marksFile)
  const end = (statedSize ?? (await part.stat()).size) - 1
  const buffer = Buffer.allocUnsafe(lines.length > 0 ? extentBytes : 0)
  const believed: string[] = []
  let last = 0
  for (let first = 0; first < lines.length; first += marksPerExtent) {
    const start = (first / marksPerExtent) * extentBytes
    const ofExtent = lines.slice(first, first + marksPerExtent)
    if (!ofExtent.some((line) => line !== '')) continue
    const { bytesRead } = await part.read(buffer, 0, extentBytes, start)
    const count = believable(ofExtent, buffer.subarray(0, Math.min(bytesRead, Math.max(0, end - start))))
    for (let index = 0; index < count; index += 1) believed[first + index] = ofExtent[index] ?? ''
    update(start, buffer.subarray(0, count * markBytes))
    coverage.add({ start, end: start + count * markBytes })
    if (count > 0) last = start + count * markBytes
  }
  await part.truncate(last)
  await writeFile(marksFile, textOfMarks(believed), { mode: 0o600 })
  return coverage
}

/** How many times {@link markBytes} of `bytes` hash to their line. */
function believable(lines: readonly string[], bytes: Buffer): number {
  const hash = createHash('sha256')
  let count = 0
  for (const [index, line] of lines.entries()) {
    const piece = bytes.subarray(index * markBytes, (index + 1) * markBytes)
    if (piece.length < markBytes) break
    hash.update(piece)
    if (hash.copy().digest('hex') === line) count = index + 1
  }
  return count
}

async function linesOf(file: string): Promise<string[]> {
  const text = (await unlessAbsent(readFile(file, 'latin1'))) ?? ''
  return Array.from({ length: Math.floor(text.length / lineBytes) }, (_, index) => {
    const line = text.slice(index * lineBytes, (index + 1) * lineBytes)
    return /^[0-9a-f]{64}\n$/.test(line) ? line.slice(0, -1) : ''
  })
}

/** Of all marks of a file in their order; those that are missing are blank. */
export function textOfMarks(lines: readonly string[]): string {
  return Array.from(lines, (line) => `${(line ?? '').padEnd(lineBytes - 1)}\n`).join('')
}
