import { decidePlaces, type Entrant, type FillLimits, type Holder, type Waiter } from './places.ts'

export type { Entrant, FillLimits } from './places.ts'

/** Who may fill now: so many in all, for each upstream and for each client, those with readers first. */
export interface Admission {
  /** How many wait. */
  readonly waiting: number
  /**
   * Waits for a place. While one with readers waits and nothing is free, those without are told to leave theirs; what
   * they leave is the waiter's. @throws the signal's reason
   */
  enter(entrant: Entrant, signal: AbortSignal): Promise<Permit>
  /** Readers came or left: who waits may be more urgent now. */
  changed(): void
  /** From now on these hold. Nobody has to leave for that; fewer are let in. */
  limit(limits: FillLimits): void
}

/** A place; disposing it again does nothing. */
export interface Permit extends Disposable {
  /** Aborts when somebody more urgent waits for this place: it is to be given back soon. */
  readonly yielded: AbortSignal
}

interface Guest extends Holder, Waiter {
  /** Who came later has a higher one. */
  readonly ticket: number
  promised: boolean
  yielding: boolean
  readonly overtaken: { upstream: number; client: number }
  admit(): void
  /** Tells it to leave. */
  dismiss(): void
}

/** When more wait than this, whoever comes or changes its mind is looked at once a turn. */
const crowd = 64

export function createAdmission(initial: FillLimits): Admission {
  let limits = initial
  const waiting = new Set<Guest>()
  const holding = new Set<Guest>()
  let tickets = 0
  let due = false

  function settle(): void {
    if (waiting.size === 0) return
    const { admitted, promised, leaving } = decidePlaces(limits, [...holding], [...waiting])
    const next = new Set(promised)
    for (const guest of waiting) guest.promised = next.has(guest)
    for (const guest of admitted) {
      waiting.delete(guest)
      holding.add(guest)
    }
    for (const guest of admitted) noteOvertaken(waiting, guest)
    for (const guest of leaving) guest.yielding = true
    // Who is told may give its place back at once, and so come here again: by now everything is in order.
    for (const guest of leaving) guest.dismiss()
    for (const guest of admitted) guest.admit()
  }

  function settleSoon(): void {
    if (due) return
    if (waiting.size <= crowd) {
      settle()
      return
    }
    due = true
    setImmediate(() => {
      due = false
      settle()
    })
  }

  function leave(guest: Guest): void {
    const wasIn = holding.delete(guest)
    const wasPromised = waiting.delete(guest) && guest.promised
    if (wasIn || wasPromised) settleSoon()
  }

  return {
    get waiting() {
      return waiting.size
    },
    enter(entrant, signal) {
      if (signal.aborted) return Promise.reject(signal.reason)
      const { promise, resolve, reject } = Promise.withResolvers<Permit>()
      const yielded = new AbortController()
      const giveUp = () => {
        reject(signal.reason)
        leave(guest)
      }
      const guest: Guest = {
        entrant,
        ticket: tickets++,
        promised: false,
        yielding: false,
        overtaken: { upstream: 0, client: 0 },
        admit() {
          signal.removeEventListener('abort', giveUp)
          resolve({ yielded: yielded.signal, [Symbol.dispose]: () => leave(guest) })
        },
        dismiss: () => yielded.abort(new Error('its place is needed')),
      }
      signal.addEventListener('abort', giveUp, { once: true })
      waiting.add(guest)
      settleSoon()
      return promise
    },
    changed: settleSoon,
    limit(next) {
      limits = next
      settle()
    },
  }
}

function noteOvertaken(waiting: Iterable<Guest>, by: Guest): void {
  for (const { ticket, entrant, overtaken } of waiting) {
    if (ticket > by.ticket) continue
    if (entrant.registry === by.entrant.registry) overtaken.upstream++
    if (entrant.client === by.entrant.client) overtaken.client++
  }
}
