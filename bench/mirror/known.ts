import type { Sample } from '../support/summary.ts'

/** Taken in August 2026 from a build of zot's sources, in the same cases on such a machine. */
export const known = {
  server: 'zot',
  values: { '1.upstream': 1, '1.firstByte': 1.9, '1.done': 2.9, '2.peak50': 65 },
} as const satisfies Sample

export const knownNote =
  '* not measured here: figures of August 2026, zot built from source. --peer zot=… measures it.'
