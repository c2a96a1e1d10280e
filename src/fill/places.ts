export interface FillLimits {
  all: number
  perUpstream: number
  perClient: number
}

/** Who wants to fill a blob: from which registry, and on whose behalf. */
export interface Entrant {
  readonly registry: string
  readonly client: string
  /** Whether anybody waits for its bytes now. */
  hasReaders(): boolean
}

export interface Holder {
  readonly entrant: Entrant
  /** It was told to leave. */
  readonly yielding: boolean
}

export interface Waiter {
  readonly entrant: Entrant
  /** Others were told to leave for it: their places are nobody else's. */
  readonly promised: boolean
  /** How often one with readers that came later was let in before it, by what the two have in common. */
  readonly overtaken: Readonly<{ upstream: number; client: number }>
}

/** What follows for holders and waiters; who is in none of the lists stays as it is. */
export interface Decision<H, W> {
  /** Have a place now. */
  admitted: W[]
  /** Have the next ones, as soon as those have left who were told to. */
  promised: W[]
  /** Are to leave. */
  leaving: H[]
}

/**
 * Who needs a place of a busy upstream and one of a busy client might never find both free: overtaken so often at
 * either, it is waited for.
 */
const mostOvertaken = 16

/**
 * Who gets a place and who has to leave one.
 * - Those with readers come first, then who came first; who is kept out by its upstream's or its client's limit holds
 *   up nobody else.
 * - For one with readers as many without leave as it needs, the youngest first, and none if that would not let it in.
 *
 * @param holders in the order in which they got in
 * @param waiters in the order in which they came
 */
export function decidePlaces<H extends Holder, W extends Waiter>(
  limits: FillLimits,
  holders: readonly H[],
  waiters: readonly W[],
): Decision<H, W> {
  const decision: Decision<H, W> = { admitted: [], promised: [], leaving: [] }
  const staying = holders.filter(({ yielding }) => !yielding)
  const now = createTally(limits, holders)
  /** As it will be when all have left who were told to. */
  const soon = createTally(limits, staying)
  const idle = staying.filter(({ entrant }) => !entrant.hasReaders()).reverse()

  for (const { waiter, urgency } of byUrgency(waiters)) {
    const { entrant } = waiter
    const leaving = urgency === 'idle' ? [] : (whoLeaves(soon.lackingFor(entrant), idle, entrant) ?? [])
    for (const holder of leaving) {
      idle.splice(idle.indexOf(holder), 1)
      soon.remove(holder.entrant)
    }
    decision.leaving.push(...leaving)

    const fits = isNothing(soon.lackingFor(entrant))
    if (fits || urgency === 'due') soon.add(entrant)
    if (fits && isNothing(now.lackingFor(entrant))) {
      now.add(entrant)
      decision.admitted.push(waiter)
    } else if (fits && urgency !== 'idle') {
      decision.promised.push(waiter)
    }
  }
  return decision
}

const urgencies = ['promised', 'due', 'live', 'idle'] as const
type Urgency = (typeof urgencies)[number]

function byUrgency<W extends Waiter>(waiters: readonly W[]): { waiter: W; urgency: Urgency }[] {
  const live = new Set(waiters.filter(({ entrant }) => entrant.hasReaders()))
  const due = [...live].find(
    ({ overtaken }) => overtaken.upstream >= mostOvertaken && overtaken.client >= mostOvertaken,
  )
  const urgencyOf = (waiter: W): Urgency => {
    if (!live.has(waiter)) return 'idle'
    if (waiter.promised) return 'promised'
    return waiter === due ? 'due' : 'live'
  }
  return waiters
    .map((waiter) => ({ waiter, urgency: urgencyOf(waiter) }))
    .sort((a, b) => urgencies.indexOf(a.urgency) - urgencies.indexOf(b.urgency))
}

/** How many places must become free before one more may have one. */
type Lacking = Record<'all' | 'upstream' | 'client', number>

function isNothing({ all, upstream, client }: Lacking): boolean {
  return Math.max(all, upstream, client) <= 0
}

/** The fewest of `idle` that make room, the first of equals; `undefined` when all of them together do not. */
function whoLeaves<H extends Holder>(
  lacking: Lacking,
  idle: readonly H[],
  { registry, client }: Entrant,
): H[] | undefined {
  const left = { ...lacking }
  const freed = ({ entrant }: H): Lacking => ({
    all: 1,
    upstream: entrant.registry === registry ? 1 : 0,
    client: entrant.client === client ? 1 : 0,
  })
  const gainOf = (holder: H) => {
    const { all, upstream, client } = freed(holder)
    return (left.all > 0 ? all : 0) + (left.upstream > 0 ? upstream : 0) + (left.client > 0 ? client : 0)
  }
  const leaving = new Set<H>()
  while (!isNothing(left)) {
    const [first, ...others] = idle.filter((holder) => !leaving.has(holder))
    const best = first && others.reduce((a, b) => (gainOf(b) > gainOf(a) ? b : a), first)
    if (!best || gainOf(best) === 0) return undefined
    leaving.add(best)
    const { all, upstream, client } = freed(best)
    left.all -= all
    left.upstream -= upstream
    left.client -= client
  }
  return [...leaving]
}

interface Tally {
  add(entrant: Entrant): void
  remove(entrant: Entrant): void
  lackingFor(entrant: Entrant): Lacking
}

function createTally(limits: FillLimits, holders: readonly Holder[]): Tally {
  let all = 0
  const upstreams = new Map<string, number>()
  const clients = new Map<string, number>()
  const count = ({ registry, client }: Entrant, by: 1 | -1) => {
    all += by
    upstreams.set(registry, (upstreams.get(registry) ?? 0) + by)
    clients.set(client, (clients.get(client) ?? 0) + by)
  }
  for (const { entrant } of holders) count(entrant, 1)
  return {
    add: (entrant) => count(entrant, 1),
    remove: (entrant) => count(entrant, -1),
    lackingFor: ({ registry, client }) => ({
      all: all + 1 - limits.all,
      upstream: (upstreams.get(registry) ?? 0) + 1 - limits.perUpstream,
      client: (clients.get(client) ?? 0) + 1 - limits.perClient,
    }),
  }
}
