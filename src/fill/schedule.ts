import type { Coverage, Span } from './coverage.ts'

/** What one connection is bringing: from `start` up to `end`, which may come nearer. */
export interface Claim {
  readonly start: number
  /** What is before it has come, and is there or about to be. */
  readonly position: number
  readonly end: number
}

export interface Scene {
  coverage: Pick<Coverage, 'endFrom' | 'gapFrom'>
  /** Of the blob. */
  size: number
  claims: readonly Claim[]
  /** Where readers wait, the one who waits longest first. */
  wants: Iterable<number>
}

export interface ScheduleRules {
  /** Connections that work ahead of the readers. */
  parallel: number
  /** Connections in all, those that readers have asked for included. */
  most: number
  /** How much is asked for at a time; a claim ends earlier where bytes are there or on their way. */
  segmentBytes: number
  /** Segments begin and end at multiples of this. */
  unitBytes: number
  /** What is no further ahead of a connection than this is waited for. */
  soonBytes: number
}

/**
 * What the next connection should bring: what a reader waits for and no connection will reach soon, else the first gap
 * that nobody brings. It may begin inside a claim, which then has to end there. `undefined`: nothing for now.
 */
export function nextSpan(scene: Scene, rules: ScheduleRules): Span | undefined {
  const { coverage, size, claims } = scene
  if (claims.length >= rules.most) return undefined
  for (const want of scene.wants) {
    if (want >= size || coverage.endFrom(want) > want) continue
    if (isSoon(want, claims, rules.soonBytes)) continue
    return spanFrom(want, scene, rules)
  }
  if (claims.length >= rules.parallel) return undefined
  const free = firstFree(scene, rules)
  return free === undefined ? undefined : spanFrom(free, scene, rules)
}

/** Whether a connection will reach `position` within the next `soonBytes`. */
export function isSoon(position: number, claims: Iterable<Claim>, soonBytes: number): boolean {
  for (const claim of claims) {
    if (claim.start <= position && position < claim.end) return position - claim.position <= soonBytes
  }
  return false
}

/**
 * The first byte that is neither there nor claimed. Of a claim that is far longer than a segment, as it is when upstream
 * sends the whole, only the next segment counts: others may bring the rest.
 */
function firstFree(
  { coverage, size, claims }: Scene,
  { segmentBytes, unitBytes }: ScheduleRules,
): number | undefined {
  for (let at = 0; at < size; ) {
    const landed = coverage.endFrom(at)
    const claim = claims.find(({ start, end }) => start <= landed && landed < end)
    if (claim && claim.end - claim.position > 2 * segmentBytes) {
      return Math.ceil((claim.position + segmentBytes) / unitBytes) * unitBytes
    }
    const next = claim ? claim.end : landed
    if (next === at) return at
    at = next
  }
  return undefined
}

function spanFrom(start: number, { coverage, size, claims }: Scene, rules: ScheduleRules): Span {
  const segmentEnd = Math.floor((start + rules.segmentBytes) / rules.unitBytes) * rules.unitBytes
  const gapEnd = coverage.gapFrom(start, size)?.end ?? size
  const ahead = claims.map((claim) => claim.start).filter((other) => other >= start)
  return { start, end: Math.min(gapEnd, segmentEnd, ...ahead) }
}
