import type { HeldRow } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Pattern } from '../oci/pattern.ts'
import { pinOf } from './pins.ts'

/** What may go, and how much of it. */
export interface EvictionRules {
  /** So many bytes are to become free. */
  bytes: number
  /** What was not used since then goes in any case: milliseconds since 1970. */
  unusedSince: number
  /** Repositories whose content stays, with their project's name before or without. */
  pins: readonly Pattern[]
  isInUse(digest: Digest): boolean
}

/** Which of `rows`, the longest unused first, are to go. Touches nothing. */
export function evictionsOf(rows: readonly HeldRow[], rules: EvictionRules): HeldRow[] {
  let left = rules.bytes
  return rows.filter((row) => {
    if ((left <= 0 && row.usedAt >= rules.unusedSince) || !mayGo(row, rules)) return false
    left -= row.size
    return true
  })
}

/** What came from elsewhere can be had again from there; what was pushed here or copied on purpose is nobody else's. */
function mayGo({ digest, links }: HeldRow, { pins, isInUse }: EvictionRules): boolean {
  const isFree = links.every(({ repository, origin }) => origin === 'filled' && !pinOf(repository, pins))
  return isFree && !isInUse(digest)
}
