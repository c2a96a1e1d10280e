import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'

const source = resolve(import.meta.dirname, '../src')

/** Imports lead down this ladder, or stay in their folder; never sideways between folders of one rung. */
const ladder = [
  ['cli'],
  ['main'],
  ['welcome'],
  ['server'],
  ['doctor'],
  ['registry', 'admin', 'console', 'config'],
  ['http'],
  ['policy'],
  ['replication', 'transfer'],
  ['auth', 'projects', 'jobs', 'resolve'],
  ['push'],
  ['fill'],
  ['blobs', 'metadata', 'coordination', 'upstream', 'tls'],
  ['flow', 'log', 'metrics'],
  ['oci'],
]

interface Import {
  from: string
  to: string
  /** Kept at run time. */
  value: boolean
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesOf(join(folder, entry.name)) : [join(folder, entry.name)],
  )
}

const files = filesOf(source).filter((file) => file.endsWith('.ts'))
const imports: Import[] = files.flatMap((file) => {
  const statements = readFileSync(file, 'utf8').matchAll(
    /^(?:import|export)\s+(type\s)?[^'"]*?from\s+'(\.[^']+)'/gms,
  )
  return [...statements].map(([, type, path = '']) => ({
    from: relative(source, file),
    to: relative(source, resolve(dirname(file), path)),
    value: type === undefined,
  }))
})

function placeOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '')
}

function rungOf(path: string): number {
  const place = placeOf(path)
  const rung = ladder.findIndex((places) => places.includes(place))
  if (rung === -1) throw new Error(`${path}: ${place} has no rung`)
  return rung
}

describe('the tree', () => {
  test('is read whole', () => {
    expect(files.length).toBeGreaterThan(50)
    expect(imports.length).toBeGreaterThan(100)
  })

  test('imports lead down', () => {
    const wrong = imports.filter(
      ({ from, to }) => placeOf(from) !== placeOf(to) && rungOf(from) >= rungOf(to),
    )
    expect(wrong).toEqual([])
  })

  test('has no import cycle at run time', () => {
    const edges = Map.groupBy(
      imports.filter((each) => each.value),
      ({ from }) => from,
    )
    const done = new Set<string>()
    const cycleFrom = (file: string, path: readonly string[]): readonly string[] | undefined => {
      if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
      if (done.has(file)) return undefined
      for (const { to } of edges.get(file) ?? []) {
        const cycle = cycleFrom(to, [...path, file])
        if (cycle) return cycle
      }
      done.add(file)
      return undefined
    }
    expect([...edges.keys()].map((file) => cycleFrom(file, [])).find((cycle) => cycle)).toBeUndefined()
  })

  test('leaves process to main, cli and the environment to config', () => {
    const elsewhere = files
      .map((file) => ({ path: relative(source, file), text: readFileSync(file, 'utf8') }))
      .filter(({ path }) => !['main', 'cli'].includes(placeOf(path)))
    expect(
      elsewhere.filter(({ text }) => /\bprocess\.(env|exit|argv|on|stdout|stderr)\b/.test(text)),
    ).toEqual([])
    const naming = elsewhere.filter(
      ({ path, text }) => !path.startsWith('config/') && /\bOUTPORT_[A-Z]/.test(text),
    )
    expect(naming.map(({ path }) => path).filter((path) => !path.startsWith('policy/'))).toEqual([])
  })

  test('starts no other program', () => {
    const starting = files.filter((file) => /child_process|\bcluster'/.test(readFileSync(file, 'utf8')))
    expect(starting).toEqual([])
  })

  test('has no file that explains nothing by its name', () => {
    expect(files.filter((file) => /\/(index|utils?|helpers?|manager|service)\.ts$/.test(file))).toEqual([])
  })

  test('keeps files and their parts small', () => {
    const long = files.filter((file) => readFileSync(file, 'utf8').split('\n').length > 300)
    expect(long.map((file) => relative(source, file))).toEqual([])
  })
})
