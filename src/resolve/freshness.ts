import type { TagRow } from '../metadata/metadata.ts'
import { UpstreamError, type UpstreamErrorKind } from '../upstream/registry-client.ts'
import type { FreshnessRule, StaleRule } from './repository.ts'

export type Freshness = { kind: 'fresh' } | { kind: 'expired' } | { kind: 'unknown' }

/** Whether upstream must be asked before `row` is answered. A clock set back does not make a tag fresh for ever. */
export function freshnessOf(
  row: TagRow | undefined,
  rules: readonly FreshnessRule[],
  now: number,
): Freshness {
  if (!row) return { kind: 'unknown' }
  const forMs = rules.find((rule) => rule.tag(row.tag))?.forMs ?? 0
  const ageMs = now - row.checkedAt
  return row.withheld === undefined && ageMs >= 0 && ageMs < forMs ? { kind: 'fresh' } : { kind: 'expired' }
}

/**
 * Whether `row` may be answered unconfirmed. `reason`: `slow`, upstream has not said anything yet; else how asking ended.
 * A 401 or 403 revokes at once; a 404 does unless the rule says otherwise; both stay in force until upstream says yes again.
 */
export function mayServeStale(
  row: TagRow,
  rule: StaleRule,
  reason: 'slow' | UpstreamErrorKind,
  now: number,
): boolean {
  if (rule.when === 'never' || now - row.checkedAt > rule.forMs) return false
  if (reason === 'refused' || row.withheld === 'refused') return false
  if (reason === 'absent' || row.withheld === 'absent') return rule.when === 'not-found'
  return true
}

/** What is known here stands in for an upstream that does not answer, never for an answer that is no good. */
export function saysNothing(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && (error.kind === 'down' || error.kind === 'limited')
}
