import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createAdmission, type Entrant, type FillLimits, type Permit } from '../../src/fill/admission.ts'

const roomy = { all: 100, perUpstream: 100, perClient: 100 }

interface Guest extends Entrant {
  readonly name: string
  readers: number
  permit?: Permit
  /** Why it left the line. */
  refused?: unknown
  abort(): void
}

/** An admission with everybody who ever came to it. */
function house(limits: Partial<FillLimits>) {
  const admission = createAdmission({ ...roomy, ...limits })
  const guests: Guest[] = []
  /** In the order in which they happened. */
  const events: string[] = []
  const holding = () => guests.filter(({ permit }) => permit)
  return {
    admission,
    guests,
    events,
    holding,
    waiting: () => guests.filter(({ permit, refused }) => !permit && refused === undefined),
    yielding: () => holding().filter(({ permit }) => permit?.yielded.aborted),
    async come(name: string, registry: string, client: string, readers = 0): Promise<Guest> {
      const caller = new AbortController()
      const guest: Guest = {
        name,
        registry,
        client,
        readers,
        hasReaders: () => guest.readers > 0,
        abort: () => caller.abort(new Error('gone')),
      }
      guests.push(guest)
      admission.enter(guest, caller.signal).then(
        (permit) => {
          guest.permit = permit
          events.push(`${name} in`)
          const told = () => events.push(`${name} told${guest.readers > 0 ? ' with readers' : ''}`)
          if (permit.yielded.aborted) told()
          permit.yielded.addEventListener('abort', told)
        },
        (reason: unknown) => {
          guest.refused = reason
        },
      )
      await turn()
      return guest
    },
    async leave(guest: Guest): Promise<void> {
      guests.splice(guests.indexOf(guest), 1)
      guest.permit?.[Symbol.dispose]()
      await turn()
    },
    async read(guest: Guest, readers: number): Promise<void> {
      guest.readers = readers
      admission.changed()
      await turn()
    },
  }
}

describe('places', () => {
  test('are given in order, and one who is kept out by a limit of its own holds up nobody', async () => {
    const site = house({ all: 4, perUpstream: 2, perClient: 1 })
    const first = await site.come('first', 'hub', 'a', 1)
    await site.come('same client', 'ghcr', 'a', 1)
    await site.come('second', 'hub', 'b', 1)
    await site.come('same upstream', 'hub', 'c', 1)
    await site.come('elsewhere', 'quay', 'c', 1)
    expect(site.events).toEqual(['first in', 'second in', 'elsewhere in'])

    await site.leave(first)

    expect(site.events.slice(3)).toEqual(['same client in'])
  })

  test('go to those with readers first, also to who got its readers while it waited', async () => {
    const site = house({ all: 1 })
    const holder = await site.come('holder', 'hub', 'a', 1)
    await site.come('early', 'hub', 'a')
    const late = await site.come('late', 'hub', 'a')
    await site.read(late, 1)

    await site.leave(holder)
    expect(site.events).toEqual(['holder in', 'late in'])
    await site.leave(late)
    expect(site.events.at(-1)).toBe('early in')
  })

  test('are taken from the youngest without readers, and go to whom they were taken for', async () => {
    const site = house({ all: 3, perClient: 1 })
    await site.come('oldest', 'hub', 'a')
    const youngest = await site.come('youngest', 'hub', 'b')
    await site.come('read', 'hub', 'c', 1)
    await site.come('held by its client', 'hub', 'c', 1)
    await site.come('live', 'hub', 'd', 1)
    expect(site.events.slice(3)).toEqual(['youngest told'])

    await site.leave(youngest)

    expect(site.events.slice(4)).toEqual(['live in'])
  })

  test('made for one are not taken by one that came earlier', async () => {
    const site = house({ all: 1 })
    const idle = await site.come('idle', 'hub', 'a')
    const early = await site.come('early', 'hub', 'b')
    const live = await site.come('live', 'hub', 'c', 1)
    expect(site.events.slice(1)).toEqual(['idle told'])
    await site.read(early, 1)

    await site.leave(idle)

    expect(site.events.slice(2)).toEqual(['live in'])
    await site.leave(live)
    expect(site.events.slice(3)).toEqual(['early in'])
  })

  test('kept for one who leaves the line are free at once', async () => {
    const site = house({ perUpstream: 1, perClient: 1 })
    await site.come('idle', 'hub', 'x')
    const gone = await site.come('gone', 'hub', 'a', 1)
    const next = await site.come('next', 'quay', 'a', 1)
    expect(next.permit).toBeUndefined()
    gone.abort()
    await turn()
    expect(next.permit).toBeDefined()
  })

  test('are taken only where that makes room, and no more than it takes', async () => {
    const site = house({ all: 4, perUpstream: 2, perClient: 2 })
    await site.come('of both', 'hub', 'a')
    await site.come('of the upstream', 'hub', 'x')
    await site.come('of the client', 'quay', 'a')
    await site.come('of neither', 'quay', 'x')
    await site.come('live', 'hub', 'a', 1)
    expect(site.events.slice(4)).toEqual(['of both told'])

    const other = house({ perUpstream: 1 })
    await other.come('read', 'hub', 'a', 1)
    await other.come('idle', 'quay', 'a')
    await other.come('live', 'hub', 'a', 1)
    expect(other.yielding()).toEqual([])
  })

  test('are taken from two, where one of them makes room at the upstream and one for the client', async () => {
    const site = house({ perUpstream: 1, perClient: 1 })
    const one = await site.come('one', 'hub', 'x')
    const two = await site.come('two', 'quay', 'a')
    const live = await site.come('live', 'hub', 'a', 1)
    expect(site.events.slice(2).toSorted()).toEqual(['one told', 'two told'])
    await site.leave(one)
    expect(live.permit).toBeUndefined()
    await site.leave(two)
    expect(live.permit).toBeDefined()
  })

  test('that were made for one who left are for the next, without another who leaves', async () => {
    const site = house({ all: 2 })
    const [a, b] = [await site.come('a', 'hub', 'x'), await site.come('b', 'hub', 'x')]
    const gone = await site.come('gone', 'hub', 'x', 1)
    gone.abort()
    await site.come('next', 'hub', 'x', 1)
    expect(site.yielding()).toEqual([b])
    await site.leave(b)
    expect(site.events).toEqual(['a in', 'b in', 'b told', 'next in'])
    expect(a.permit?.yielded.aborted).toBe(false)
  })

  test('are fewer after the limits were lowered, and nobody has to leave for that', async () => {
    const site = house({ all: 3 })
    for (const name of ['a', 'b', 'c']) await site.come(name, 'hub', name)
    site.admission.limit({ ...roomy, all: 1 })
    await site.come('d', 'hub', 'd')
    expect(site.yielding()).toEqual([])
    for (const guest of site.holding().slice(0, 2)) await site.leave(guest)
    expect(site.waiting().map(({ name }) => name)).toEqual(['d'])
    site.admission.limit({ ...roomy, all: 2 })
    await turn()
    expect(site.waiting()).toEqual([])
  })

  test('are not given to who is gone, and given back once only', async () => {
    const site = house({ all: 1 })
    const first = await site.come('first', 'hub', 'a', 1)
    const gone = await site.come('gone', 'hub', 'a', 1)
    gone.abort()
    await site.come('second', 'hub', 'a', 1)
    await site.come('third', 'hub', 'a', 1)
    await site.leave(first)
    first.permit?.[Symbol.dispose]()
    await turn()
    expect(site.events).toEqual(['first in', 'second in'])
    expect(gone.refused).toEqual(new Error('gone'))
    await expect(site.admission.enter(first, AbortSignal.abort(new Error('late')))).rejects.toThrow('late')
  })

  test('come in the end to one whose upstream and client are never free at the same time', async () => {
    const site = house({ perUpstream: 1, perClient: 1 })
    let atHub = await site.come('hub 0', 'hub', 'x', 1)
    let ofClient = await site.come('client 0', 'quay', 'a', 1)
    const starved = await site.come('starved', 'hub', 'a', 1)
    for (let round = 1; round < 100 && !starved.permit; round++) {
      const nextAtHub = await site.come(`hub ${round}`, 'hub', `x${round}`, 1)
      await site.leave(atHub)
      if (nextAtHub.permit) atHub = nextAtHub
      const nextOfClient = await site.come(`client ${round}`, `quay ${round}`, 'a', 1)
      await site.leave(ofClient)
      if (nextOfClient.permit) ofClient = nextOfClient
    }
    expect(starved.permit).toBeDefined()
  })
})

describe('whatever happens in whatever order', () => {
  const name = fc.constantFrom('a', 'b', 'c')
  const limits = fc.record({
    all: fc.integer({ min: 1, max: 5 }),
    perUpstream: fc.integer({ min: 1, max: 4 }),
    perClient: fc.integer({ min: 1, max: 3 }),
  })
  const pick = fc.nat(20)
  const action = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('come'), name, other: name, readers: fc.nat(1) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('leave'), pick }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('obey'), pick }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('abort'), pick }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('read'), pick, readers: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('limit'), limits }) },
  )

  test('no limit is passed, no reader is sent away, and no place stays empty', async () => {
    await fc.assert(
      fc.asyncProperty(limits, fc.array(action, { maxLength: 60, size: 'max' }), async (initial, actions) => {
        const site = house(initial)
        let current: FillLimits = initial
        let held = new Set<Guest>()
        for (const [at, each] of actions.entries()) {
          if (each.kind === 'limit') current = each.limits
          await act(site, `${at}`, each)
          expectWithin(site.holding(), held, current)
          held = new Set(site.holding())
          expect(site.events.filter((event) => event.endsWith('with readers'))).toEqual([])
          expectNoIdlePlace(site, current)
        }
        await empty(site)
      }),
      { numRuns: 400 },
    )
  })
})

type House = ReturnType<typeof house>

interface Action {
  kind: string
  name?: string
  other?: string
  readers?: number
  pick?: number
  limits?: FillLimits
}

async function act(site: House, id: string, action: Action): Promise<void> {
  const { kind, name = '', other = '', readers = 0, pick = 0, limits = roomy } = action
  const one = (from: Guest[]) => from[pick % Math.max(1, from.length)]
  if (kind === 'come') {
    await site.come(id, name, other, readers)
  } else if (kind === 'leave' || kind === 'obey') {
    const guest = one(kind === 'obey' ? site.yielding() : site.holding())
    if (guest) await site.leave(guest)
  } else if (kind === 'abort') {
    one(site.waiting())?.abort()
  } else if (kind === 'read') {
    const guest = one(site.guests)
    if (guest) await site.read(guest, readers)
  } else {
    site.admission.limit(limits)
  }
  await turn()
}

function countsOf(guests: readonly Entrant[], { registry, client }: Entrant) {
  return {
    all: guests.length,
    perUpstream: guests.filter((each) => each.registry === registry).length,
    perClient: guests.filter((each) => each.client === client).length,
  }
}

function isWithin(counts: FillLimits, limits: FillLimits): boolean {
  return (
    counts.all <= limits.all &&
    counts.perUpstream <= limits.perUpstream &&
    counts.perClient <= limits.perClient
  )
}

/** Who has come in since has done so within the limits; those before may have known higher ones. */
function expectWithin(holding: Guest[], before: ReadonlySet<Guest>, limits: FillLimits): void {
  for (const guest of holding) {
    if (!before.has(guest)) expect(isWithin(countsOf(holding, guest), limits)).toBe(true)
  }
}

/** While nobody is on its way out, nobody waits who could be in, whether a place is free or could be made so. */
function expectNoIdlePlace(site: House, limits: FillLimits): void {
  if (site.yielding().length > 0) return
  const holding = site.holding()
  const read = holding.filter((guest) => guest.hasReaders())
  for (const guest of site.waiting()) {
    const others = guest.hasReaders() ? read : holding
    expect(isWithin(countsOf([...others, guest], guest), limits)).toBe(false)
  }
}

/** Everybody who still waits gets in when those leave who are in. */
async function empty(site: House): Promise<void> {
  for (let left = site.guests.length; left >= 0; left--) {
    const [guest] = site.holding()
    if (guest) await site.leave(guest)
  }
  expect(site.waiting()).toEqual([])
}
