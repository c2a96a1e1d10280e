/** What tells that the clock of this machine is wrong. */
export interface Clock {
  /** To be called every second or so: compares it with the time that has passed. */
  tick(): void
  /** A host said what time it is. @param at milliseconds since 1970 */
  heard(host: string, at: number): void
  /** A host showed a certificate that begins after now. */
  heardOfFuture(host: string): void
  /** Why it seems wrong, in words. */
  doubt(): string | undefined
}

export interface ClockOptions {
  /** Milliseconds since 1970. */
  now?: () => number
  /** Milliseconds that nobody sets. */
  time?: () => number
}

/** Certificates, tokens and freshness bear so much. */
const tolerableMs = 60_000
/** A process that is held up looks as if the clock were set, for as long. */
const jumpMs = 10_000
/** What was said longer ago counts no more: the clock may have been set right since. */
const rememberedMs = 3_600_000
const mostHosts = 64

/**
 * The clock is wrong when all hosts that say another time than it agree with each other and are at least two, and more than
 * those that it agrees with; when a certificate begins only later; and after it was set, until a host has confirmed it.
 */
export function createClock({ now = Date.now, time = () => performance.now() }: ClockOptions = {}): Clock {
  const said = new Map<string, { aheadMs: number; at: number }>()
  let future: { host: string; at: number } | undefined
  let jump: { ms: number; at: number } | undefined
  let last = { now: now(), time: time() }

  function latest(): number[] {
    return [...said.values()].filter(({ at }) => time() - at < rememberedMs).map(({ aheadMs }) => aheadMs)
  }

  return {
    tick() {
      const next = { now: now(), time: time() }
      const ms = next.now - last.now - (next.time - last.time)
      last = next
      if (Math.abs(ms) < jumpMs) return
      jump = { ms, at: next.time }
      // What others said was measured by the clock as it was.
      said.clear()
      future = undefined
    },
    heard(host, at) {
      const aheadMs = at - now()
      said.delete(host)
      said.set(host, { aheadMs, at: time() })
      if (said.size > mostHosts) said.delete(said.keys().next().value ?? '')
      if (Math.abs(aheadMs) > tolerableMs) return
      jump = undefined
      future = undefined
    },
    heardOfFuture(host) {
      future = { host, at: time() }
    },
    doubt() {
      const offMs = agreedOff(latest())
      if (offMs !== undefined) {
        return `the clock is ${span(offMs)} ${offMs > 0 ? 'behind' : 'ahead of'} what several upstreams say`
      }
      if (future && time() - future.at < rememberedMs)
        return `the clock may be behind: the certificate of ${future.host} begins later than now`
      if (jump && time() - jump.at < rememberedMs)
        return `the clock was set ${jump.ms > 0 ? 'forward' : 'back'} by ${span(jump.ms)}, and no upstream has confirmed it since`
      return undefined
    },
  }
}

/** By how much the clock is behind (or, below zero, ahead of) those that do not agree with it, if they are right. */
function agreedOff(aheads: readonly number[]): number | undefined {
  const off = aheads.filter((ms) => Math.abs(ms) > tolerableMs).sort((one, other) => one - other)
  const isMany = off.length >= 2 && off.length > aheads.length - off.length
  const [first = 0, last = 0] = [off[0], off.at(-1)]
  return isMany && last - first <= tolerableMs ? off[off.length >> 1] : undefined
}

function span(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000)
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}
