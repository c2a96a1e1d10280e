import type { Provenance } from '../resolve/repository.ts'

/** Says where an answer came from, how old it is, and aloud when upstream did not confirm it. */
export function provenanceHeaders({ source, ageMs, unconfirmed }: Provenance): Record<string, string> {
  return {
    'x-outport-cache': source,
    ...(ageMs !== undefined && { age: String(Math.max(0, Math.floor(ageMs / 1000))) }),
    ...(unconfirmed && { warning: `299 - "${warningFor(unconfirmed, ageMs ?? 0)}"` }),
  }
}

function warningFor(reason: NonNullable<Provenance['unconfirmed']>, ageMs: number): string {
  const because = {
    slow: 'upstream has not answered yet',
    down: 'upstream cannot be reached',
    limited: 'upstream allows no more requests for now',
    lying: 'upstream answers with nonsense',
    absent: 'upstream has it no more',
    refused: 'upstream refuses it',
  }[reason]
  return `served from this mirror, last confirmed ${spanOf(ageMs)} ago: ${because}`
}

function spanOf(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return `${Math.floor(ms / 1000)} s`
  if (minutes < 120) return `${minutes} min`
  return minutes < 2 * 24 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / (24 * 60))} d`
}
