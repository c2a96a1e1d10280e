import type { Trouble } from '../../flow/troubles.ts'
import type { Mistake } from '../findings.ts'

/** What is read of a {@link Trouble}; a node of another version may know other codes. */
export type Degraded = Pick<Trouble, 'since' | 'message'> & { code: string }

const ofDisk: Pick<Mistake, 'code' | 'advice'> = {
  code: 'disk-trouble',
  advice: 'make room on the disk of the data folder, or give the cache a smaller budget',
}

const known: Readonly<Record<string, Pick<Mistake, 'code' | 'advice'>>> = {
  'upstream-down': {
    code: 'upstream-down',
    advice: 'look at the line, the proxy and the name server of the node; until then it serves what it has',
  },
  'disk-full': ofDisk,
  'disk-broken': { ...ofDisk, advice: 'look at the disk of the data folder, and at the log of its system' },
  'cache-full': { ...ofDisk, advice: 'give the cache a larger budget, or pin less' },
  'policies-wrong': { code: 'policies-wrong', advice: 'the log of the node says where' },
  'gc-failed': { code: 'degraded', advice: 'its log says why; until then what was deleted takes room' },
  'clock-wrong': {
    code: 'clock-wrong',
    advice: 'set the clock of the node, and have something keep it right',
  },
}

/** What a node itself says works less well than it should (`outport status`, `/readyz`). */
export function degradedMistake({ code, since, message }: Degraded): Mistake {
  const { code: as, advice } = known[code] ?? { code: 'degraded', advice: 'its log says more' }
  return { code: as, what: `the node says: ${message}, since ${since}`, advice }
}
