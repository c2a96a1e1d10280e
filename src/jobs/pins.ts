import type { Metadata, PinRow } from '../metadata/metadata.ts'
import { type Pattern, parsePattern } from '../oci/pattern.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** The repositories that somebody has told this node to keep, besides those that the policies name. */
export interface Pins {
  patterns(): readonly Pattern[]
  list(): readonly PinRow[]
  /** In force before it is durable. @returns `false` for one that is there */
  add(pattern: string): Promise<boolean>
  /** @returns `false` for one that is not there */
  remove(pattern: string): Promise<boolean>
}

export async function openPins(rows: Metadata['pins'], now: () => number = Date.now): Promise<Pins> {
  const pins = new Map(
    (await rows.list()).map((row) => [row.pattern, { row, matches: parsePattern(row.pattern) }]),
  )
  return {
    patterns: () => [...pins.values()].map(({ matches }) => matches),
    list: () => [...pins.values()].map(({ row }) => row),
    async add(pattern) {
      if (pins.has(pattern)) return false
      const row = { pattern, createdAt: now() }
      pins.set(pattern, { row, matches: parsePattern(pattern) })
      try {
        await rows.add(row)
      } catch (error) {
        pins.delete(pattern)
        throw error
      }
      return true
    },
    async remove(pattern) {
      if (!pins.has(pattern)) return false
      await rows.remove(pattern)
      pins.delete(pattern)
      return true
    },
  }
}

/** By its name, or by that within its project. @returns the first of `pins` that keeps it */
export function pinOf(repository: RepositoryName, pins: readonly Pattern[]): Pattern | undefined {
  const within = repository.slice(repository.indexOf('/') + 1)
  return pins.find((matches) => matches(repository) || matches(within))
}
