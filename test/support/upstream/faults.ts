import { matches, type RequestFilter, type SeenRequest } from './requests.ts'

/** What goes wrong with one answer. Several properties may stand together. */
export interface FaultEffects {
  /** Before the status. */
  latencyMs?: number
  /** No status until the fault is released. */
  stallBeforeStatus?: boolean
  /** The connection is reset instead of any status. */
  drop?: boolean
  /** 100, 102 or 103 before the real status. */
  informational?: 100 | 102 | 103

  /** The answer is this instead of the real one; body by {@link body}. */
  status?: number
  /** Added to, or instead of, the real headers; `undefined` takes one away. */
  headers?: Readonly<Record<string, string | undefined>>
  /** A page of a captive portal, 200. */
  html?: boolean
  /** 307 with this `Location`. */
  redirect?: string | ((request: SeenRequest) => string)

  /** Instead of the real content. */
  body?: Uint8Array
  /** The byte at this offset of the content is another one, also in ranges that contain it. */
  flipAt?: number
  /** Follows the real content, and is counted in `Content-Length`. */
  tail?: Uint8Array
  /** A `Range` is answered with 200 and everything. */
  ignoreRange?: boolean
  gzip?: boolean

  /** Instead of the true `Content-Length`; the connection is closed after the body. */
  contentLength?: number
  /** No `Content-Length`. */
  chunked?: boolean
  contentDigest?: string
  contentType?: string
  contentRange?: string
  etag?: string

  /** For this answer alone; 1 is a trickle. */
  bytesPerSecond?: number
  /** The connection ends (FIN) after so many bytes of this answer's body. */
  truncateAt?: number
  /** The connection is reset (RST) after so many bytes of this answer's body. */
  resetAt?: number
  /** Nothing more comes after so many bytes of this answer's body until the fault is released. */
  stallAt?: number
  /** The answer is HTTP/1.0 without a length; the end of the connection ends it. */
  http10?: boolean
  /** The connection is closed right after the answer without having said so. */
  closeAfter?: boolean
}

export interface FaultOptions extends FaultEffects {
  on: RequestFilter
  /** How many requests it strikes; default all. */
  times?: number
}

/** Ends with its disposal; whatever it holds up then goes on. */
export interface Fault extends Disposable {
  /** How many requests it has met so far. */
  readonly hits: number
  /** Resolves when it has done its work `times` times in all: a stall has begun, a connection is cut, an answer is out. */
  struck(times?: number): Promise<void>
  /** Lets go on what stalls now; later requests stall again. */
  release(): void
}

/** A fault as the one request meets it that it strikes. */
export interface Strike {
  readonly effects: FaultEffects
  readonly released: Promise<void>
  /** To be called once, when the effect is there. */
  done(): void
}

export interface Faults {
  add(options: FaultOptions): Fault
  /** The oldest fault that strikes this request; it counts as a hit. */
  take(request: SeenRequest): Strike | undefined
  releaseAll(): void
}

export function createFaults(): Faults {
  const active = new Set<Met>()
  return {
    add(options) {
      const fault = createFault(options, () => active.delete(fault))
      active.add(fault)
      return fault
    },
    take(request) {
      for (const fault of active) {
        const strike = fault.meet(request)
        if (strike) return strike
      }
      return undefined
    },
    releaseAll() {
      for (const fault of active) fault.release()
    },
  }
}

interface Met extends Fault {
  meet(request: SeenRequest): Strike | undefined
}

function createFault(
  { on, times = Number.POSITIVE_INFINITY, ...effects }: FaultOptions,
  end: () => void,
): Met {
  let hits = 0
  let done = 0
  let held = Promise.withResolvers<void>()
  const waiting = new Set<{ times: number; resolve: () => void }>()

  function release(): void {
    held.resolve()
    held = Promise.withResolvers()
  }

  return {
    get hits() {
      return hits
    },
    struck(wanted = 1) {
      return new Promise((resolve) => {
        if (done >= wanted) resolve()
        else waiting.add({ times: wanted, resolve })
      })
    },
    release,
    meet(request) {
      if (hits >= times || !matches(on, request)) return undefined
      hits++
      return {
        effects,
        released: held.promise,
        done() {
          done++
          for (const each of waiting) if (done >= each.times) each.resolve()
        },
      }
    },
    [Symbol.dispose]() {
      end()
      release()
    },
  }
}
