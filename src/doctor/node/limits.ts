import type { Mistake } from '../findings.ts'
import { type Sample, samplesOf } from './exposition.ts'

const low = 0.1

/** What upstreams allow this node, as it counts it itself. @param exposition the text of /metrics @param now in ms */
export function upstreamMistakes(exposition: string, now: number): Mistake[] {
  const samples = samplesOf(exposition)
  const of = (name: string) => samples.filter((sample) => sample.name === name)
  return [
    ...of('outport_upstream_limited_until_timestamp_seconds')
      .filter(({ value }) => value * 1000 > now)
      .map(({ labels, value }) => limited(labels.registry ?? '', value)),
    ...of('outport_upstream_budget_remaining').flatMap(({ labels, value }) => {
      const all = of('outport_upstream_budget_limit').find((other) => sameLabels(other.labels, labels))?.value
      return all !== undefined && value < all * low ? [budgetLow(labels.registry ?? '', value, all)] : []
    }),
    ...refusers(of('outport_upstream_requests_total')),
  ]
}

/** Registries that have refused, and have never given anything: what is asked of them is asked in vain. */
function refusers(requests: readonly Sample[]): Mistake[] {
  const count = (registry: string | undefined, outcome: string) =>
    requests
      .filter(({ labels }) => labels.registry === registry && labels.outcome === outcome)
      .reduce((sum, { value }) => sum + value, 0)
  const registries = [...new Set(requests.map(({ labels }) => labels.registry))]
  return registries
    .filter((registry) => count(registry, 'refused') > 0 && count(registry, 'ok') === 0)
    .map((registry) => ({
      code: 'upstream-refuses',
      what: `registry ${registry} refuses all that this node asks of it (401 or 403)`,
      advice: 'look at the credential of that registry in the policies, and at what it may read there',
    }))
}

function limited(registry: string, until: number): Mistake {
  return {
    code: 'upstream-limited',
    what: `registry ${registry} has said 429 and is not asked again before ${new Date(until * 1000).toISOString()}`,
    advice: 'give that registry a credential in the policies: who is logged in is allowed more',
  }
}

function budgetLow(registry: string, left: number, all: number): Mistake {
  return {
    code: 'upstream-budget-low',
    what: `registry ${registry} allows ${left} more requests of ${all}`,
    advice: 'give that registry a credential in the policies, or let tags be fresh for longer',
  }
}

function sameLabels(left: Sample['labels'], right: Sample['labels']): boolean {
  return left.registry === right.registry && left.kind === right.kind
}
