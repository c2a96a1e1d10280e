import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describeFailure } from './found.ts'
import { maxFileBytes } from './parse-yaml.ts'
import type { Problem } from './problem.ts'
import { wholeFile } from './source.ts'

export interface PolicyFile {
  /** The folder as it was given, and the file in it. */
  path: string
  text: string
}

export interface Snapshot {
  files: PolicyFile[]
  /** Names that somebody may believe to be read. */
  passedOver: string[]
  problems: Problem[]
}

/** The policy files directly in the folder, by name. */
export async function readSnapshot(folder: string): Promise<Snapshot> {
  const listed = await namesIn(folder)
  if ('problem' in listed) return { files: [], passedOver: [], problems: [listed.problem] }
  const read = await Promise.all(
    listed.names.filter(isPolicyFile).map((name) => readPolicyFile(join(folder, name))),
  )
  return {
    files: read.filter((each) => 'text' in each),
    passedOver: listed.names.filter(
      (name) => !isPolicyFile(name) && /\.ya?ml$/i.test(name) && !name.startsWith('.'),
    ),
    problems: read.filter((each) => 'expected' in each),
  }
}

/**
 * Changes whenever a file comes, goes, or is written, and when the folder is another one: a mounted ConfigMap is
 * swapped as a whole by turning the link `..data`. `absent` when there is no folder.
 */
export async function generationOf(folder: string): Promise<string> {
  const target = await settled(realpath(folder))
  if (target === undefined) return 'absent'
  const data = await settled(realpath(join(folder, '..data')))
  const names = (await settled(readdir(folder)))?.filter(isPolicyFile).sort() ?? []
  const stats = await Promise.all(names.map((name) => settled(stat(join(folder, name), { bigint: true }))))
  const written = stats.map((file) => file && `${file.ino} ${file.mtimeNs} ${file.ctimeNs} ${file.size}`)
  return JSON.stringify([target, data, names, written])
}

/** As a shell's `*.yaml` would: what begins with a dot is an editor's. */
function isPolicyFile(name: string): boolean {
  return name.endsWith('.yaml') && !name.startsWith('.')
}

async function namesIn(folder: string): Promise<{ names: string[] } | { problem: Problem }> {
  try {
    return { names: (await readdir(folder)).sort() }
  } catch (error) {
    return {
      problem: { ...wholeFile(folder), expected: 'a folder that can be read', found: describeFailure(error) },
    }
  }
}

async function readPolicyFile(path: string): Promise<PolicyFile | Problem> {
  let file: FileHandle | undefined
  try {
    // Opening a FIFO would wait for its writer.
    if (!(await stat(path)).isFile())
      return { ...wholeFile(path), expected: 'a file', found: 'something else' }
    file = await open(path)
    return await readBounded(path, file)
  } catch (error) {
    return { ...wholeFile(path), expected: 'a file that can be read', found: describeFailure(error) }
  } finally {
    await file?.close()
  }
}

async function readBounded(path: string, file: FileHandle): Promise<PolicyFile | Problem> {
  const buffer = Buffer.alloc(maxFileBytes + 1)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, length)
    length += bytesRead
    if (bytesRead === 0 || length === buffer.length) break
  }
  if (length > maxFileBytes) return { ...wholeFile(path), expected: 'at most 1 MiB', found: 'more' }
  try {
    return { path, text: new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length)) }
  } catch {
    return { ...wholeFile(path), expected: 'UTF-8', found: 'something else' }
  }
}

async function settled<Value>(work: Promise<Value>): Promise<Value | undefined> {
  try {
    return await work
  } catch {
    return undefined
  }
}
