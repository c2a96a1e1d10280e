import { open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unlessAbsent } from '../../../src/flow/unless-absent.ts'
import type { Chance } from './soak.ts'

const pageBytes = 4096

/** How the files of fills looked at some moment before the cut. */
export type Snapshot = ReadonlyMap<string, Buffer>

export async function snapshotOf(folder: string): Promise<Snapshot> {
  const files = new Map<string, Buffer>()
  for (const name of await readdir(folder)) {
    const content = await unlessAbsent(readFile(join(folder, name)))
    if (content) files.set(name, content)
  }
  return files
}

/**
 * What a power cut may leave of files whose pages were not on the disk yet: older ones, shorter ones, holes, garbage,
 * or the whole; each file by itself, so that extents are newer or older than their data.
 * @returns what was done, for messages
 */
export async function losePages(chance: Chance, folder: string, earlier: Snapshot): Promise<string[]> {
  const done: string[] = []
  for (const name of (await readdir(folder)).sort()) {
    const file = join(folder, name)
    const harms = name.endsWith('.marks') ? harmsOfLines : harmsOfPages
    const harm = chance.pick([older(earlier.get(name)), ...harms])
    await harm(chance, file)
    done.push(`${harm.name} ${name}`)
  }
  return done
}

type Harm = (chance: Chance, file: string) => Promise<void>

function older(content: Buffer | undefined): Harm {
  return async function older(_, file) {
    if (content) await writeFile(file, content)
    else await rm(file)
  }
}

async function nothing(): Promise<void> {}

async function gone(_: Chance, file: string): Promise<void> {
  await rm(file)
}

async function cut(chance: Chance, file: string): Promise<void> {
  await truncate(file, chance.below((await stat(file)).size + 1))
}

async function zeroedAtEnd(chance: Chance, file: string): Promise<void> {
  const { size } = await stat(file)
  await zero(file, Math.max(0, size - pageBytes * (1 + chance.below(64))), size)
}

/** The order in which pages reach the disk is the system's. */
async function zeroedAnywhere(chance: Chance, file: string): Promise<void> {
  const pages = Math.ceil((await stat(file)).size / pageBytes)
  for (let holes = 4 + chance.below(9); holes > 0; holes--) {
    const start = pageBytes * chance.below(pages)
    await zero(file, start, Math.min(pages * pageBytes, start + pageBytes * (1 + chance.below(16))))
  }
}

async function zero(file: string, start: number, end: number): Promise<void> {
  await using handle = await open(file, 'r+')
  await handle.write(Buffer.alloc(end - start), 0, end - start, start)
}

async function grown(chance: Chance, file: string): Promise<void> {
  await truncate(file, (await stat(file)).size + 1 + chance.below(1024 * 1024))
}

async function linesBy(file: string, change: (lines: string[]) => string[]): Promise<void> {
  const lines = (await readFile(file, 'latin1')).split('\n').filter((line) => line !== '')
  const changed = lines.length > 0 ? change(lines) : lines
  await writeFile(file, changed.map((line) => `${line}\n`).join(''))
}

function withoutLine(chance: Chance, file: string): Promise<void> {
  return linesBy(file, (lines) => lines.toSpliced(chance.below(lines.length), 1))
}

function garbled(chance: Chance, file: string): Promise<void> {
  return linesBy(file, (lines) => {
    const at = chance.below(lines.length)
    const line = lines[at] ?? ''
    const column = chance.below(line.length)
    return lines.with(
      at,
      `${line.slice(0, column)}${chance.pick(['0', 'f', 'x', '\0', ' '])}${line.slice(column + 1)}`,
    )
  })
}

function swapped(chance: Chance, file: string): Promise<void> {
  return linesBy(file, (lines) => {
    const [one, two] = [chance.below(lines.length), chance.below(lines.length)]
    return lines.with(one, lines[two] ?? '').with(two, lines[one] ?? '')
  })
}

function repeated(chance: Chance, file: string): Promise<void> {
  return linesBy(file, (lines) => [...lines, lines[chance.below(lines.length)] ?? ''])
}

const harmsOfPages: Harm[] = [
  nothing,
  gone,
  cut,
  zeroedAtEnd,
  zeroedAnywhere,
  zeroedAnywhere,
  zeroedAnywhere,
  grown,
]
const harmsOfLines: Harm[] = [nothing, nothing, nothing, gone, cut, withoutLine, garbled, swapped, repeated]
