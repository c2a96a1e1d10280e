import { Readable } from 'node:stream'
import { orAbandon } from './abandon.ts'

/** So many bytes a second for all who take of it. */
export interface Bandwidth {
  /**
   * Resolves when `count` bytes may pass. Who is urgent at that moment goes before who is not, then who came first: of
   * several streams that each take one chunk at a time, all get the same.
   */
  take(count: number, urgent: () => boolean, signal: AbortSignal): Promise<void>
}

/** A timer may be late by so much without a loss for the rate. */
const catchUpMs = 50

/** Who waits for a rate that has changed waits no longer for it. */
const followMs = 1000

/** @param rateNow bytes a second, asked again and again; `Infinity`: no limit */
export function createBandwidth(rateNow: () => number, now = () => performance.now()): Bandwidth {
  const waiting = new Set<Waiter>()
  let rate = rateNow()
  /** When what has passed so far is worked off. */
  let freeAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  /** What has passed and is not worked off is a number of bytes. */
  function followRate(): void {
    const next = rateNow()
    if (next === rate) return
    const aheadMs = Math.max(0, freeAt - now())
    freeAt = aheadMs === 0 ? Number.NEGATIVE_INFINITY : now() + aheadMs * (rate / next)
    rate = next
  }
  function serve(): void {
    clearTimeout(timer)
    timer = undefined
    followRate()
    for (let next = firstOf(waiting); next && now() >= freeAt; next = firstOf(waiting)) {
      waiting.delete(next)
      freeAt = Math.max(freeAt, now() - catchUpMs) + (next.count / rate) * 1000
      next.pass()
    }
    if (waiting.size > 0) timer = setTimeout(serve, Math.min(freeAt - now(), followMs))
  }

  return {
    async take(count, urgent, signal) {
      signal.throwIfAborted()
      const passed = Promise.withResolvers<void>()
      const waiter: Waiter = { count, urgent, pass: passed.resolve }
      waiting.add(waiter)
      if (!timer) serve()
      try {
        await orAbandon(passed.promise, signal)
      } finally {
        waiting.delete(waiter)
        if (waiting.size === 0) clearTimeout(timer)
        if (waiting.size === 0) timer = undefined
      }
    },
  }
}

interface Waiter {
  count: number
  urgent(): boolean
  pass(): void
}

function firstOf(waiting: ReadonlySet<Waiter>): Waiter | undefined {
  const all = [...waiting]
  return all.find((each) => each.urgent()) ?? all[0]
}

/** What passes at a time: who is urgent waits for one of these at most. */
const turnBytes = 64 * 1024

/** `body` no faster than its share. It is not read while it waits, and destroyed along with the stream that is returned. */
export function throttled(body: Readable, bandwidth: Bandwidth, urgent: () => boolean): Readable {
  const gone = new AbortController()
  const chunks: AsyncIterator<Buffer> = body[Symbol.asyncIterator]()
  let rest: Buffer | undefined
  async function next(): Promise<Buffer | null> {
    if (!rest?.length) rest = (await chunks.next()).value
    if (!rest) return null
    const piece = rest.subarray(0, turnBytes)
    rest = rest.subarray(piece.length)
    await bandwidth.take(piece.length, urgent, gone.signal)
    return piece
  }
  const stream = new Readable({
    // One piece at a time: a stream that reads ahead would take more than its share of the socket.
    highWaterMark: 1,
    async read() {
      try {
        stream.push(await next())
      } catch (error) {
        stream.destroy(error instanceof Error ? error : new Error('the body broke', { cause: error }))
      }
    },
    destroy(error, done) {
      gone.abort()
      body.destroy()
      done(error)
    },
  })
  return stream
}
