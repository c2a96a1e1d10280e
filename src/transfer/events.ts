import { setTimeout as sleep } from 'node:timers/promises'

const progressMs = 250

/**
 * What `work` tells while it goes on, and now and then how far it is.
 * @throws what `work` throws; who hears no more ends it through the signal it is given
 */
export async function* eventsOf<Event>(
  work: (tell: (event: Event) => void, signal: AbortSignal) => Promise<void>,
  progress: () => Event,
  signal: AbortSignal,
): AsyncGenerator<Event, void> {
  const stop = new AbortController()
  const told: Event[] = []
  let changed = Promise.withResolvers<void>()
  const tell = (event: Event) => {
    told.push(event)
    changed.resolve()
  }
  let isOver = false
  const working = work(tell, AbortSignal.any([signal, stop.signal])).finally(() => {
    isOver = true
    changed.resolve()
  })
  working.catch(() => {})
  try {
    while (!isOver || told.length > 0) {
      yield* told.splice(0)
      if (isOver) continue
      await Promise.race([changed.promise, sleep(progressMs)])
      changed = Promise.withResolvers()
      yield progress()
    }
    await working
  } finally {
    stop.abort(new Error('nobody waits for it any more'))
    await working.catch(() => {})
  }
}

/** Does `work` with each, so many at a time. @throws what the first of it throws, when none is under way any more */
export async function eachOf<Item>(
  items: Iterable<Item>,
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const rest = items[Symbol.iterator]()
  let failure: { error: unknown } | undefined
  const lane = async () => {
    for (let next = rest.next(); !next.done && !failure; next = rest.next()) {
      await work(next.value).catch((error: unknown) => {
        failure ??= { error }
      })
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  if (failure) throw failure.error
}
