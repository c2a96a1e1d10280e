import { oneOf } from './failure.ts'

/** What an answer says of the limit that it counts against. */
export interface RateStatement {
  remaining: number
  limit?: number
  /** Length of the window that the limit is for. */
  windowMs?: number
  /** Until there will be more. */
  resetMs?: number
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** A reset that is no number of seconds but a time: seconds since 1970. */
const leastEpochSeconds = 1_000_000_000

/**
 * Reads what is in use: `RateLimit-Remaining: 76;w=21600` (Docker Hub), `RateLimit-Limit`, `-Remaining` and `-Reset`
 * (draft-ietf-httpapi-ratelimit-headers up to 06), `RateLimit: limit=100, remaining=76, reset=50` (07),
 * `RateLimit: "default";r=76;t=50` (from 08 on), and all of the older ones with `X-`.
 * @returns `undefined` when nothing is said that can be understood
 */
export function rateStatementOf(headers: Headers, now: number): RateStatement | undefined {
  return (
    combined(textOf(headers, 'ratelimit'), textOf(headers, 'ratelimit-policy')) ??
    separate(headers, 'ratelimit', now) ??
    separate(headers, 'x-ratelimit', now)
  )
}

function separate(headers: Headers, prefix: string, now: number): RateStatement | undefined {
  const remaining = textOf(headers, `${prefix}-remaining`)
  const limit = textOf(headers, `${prefix}-limit`)
  return statement({
    remaining: leading(remaining),
    limit: leading(limit),
    windowSeconds: parameter(remaining, 'w') ?? parameter(limit, 'w'),
    resetSeconds: secondsUntil(leading(textOf(headers, `${prefix}-reset`)), now),
  })
}

/** Of several limits the one with the least left is the one that counts. */
function combined(text: string | undefined, policy: string | undefined): RateStatement | undefined {
  if (text === undefined) return undefined
  if (parameter(text, 'remaining') !== undefined) {
    return statement({
      remaining: parameter(text, 'remaining'),
      limit: parameter(text, 'limit'),
      windowSeconds: parameter(policy, 'w'),
      resetSeconds: parameter(text, 'reset'),
    })
  }
  const policies = new Map(policy?.split(',').map((item) => [nameOf(item), item]))
  const all = text.split(',').flatMap((item) => {
    const its = policies.get(nameOf(item))
    const said = statement({
      remaining: parameter(item, 'r'),
      limit: parameter(its, 'q'),
      windowSeconds: parameter(its, 'w'),
      resetSeconds: parameter(item, 't'),
    })
    return said ? [said] : []
  })
  return all.sort((one, other) => one.remaining - other.remaining)[0]
}

interface Said {
  remaining: number | undefined
  limit: number | undefined
  windowSeconds: number | undefined
  resetSeconds: number | undefined
}

function statement({ remaining, limit, windowSeconds, resetSeconds }: Said): RateStatement | undefined {
  if (remaining === undefined) return undefined
  return {
    remaining,
    ...(limit !== undefined && { limit }),
    ...(windowSeconds !== undefined && { windowMs: windowSeconds * 1000 }),
    ...(resetSeconds !== undefined && { resetMs: resetSeconds * 1000 }),
  }
}

function textOf(headers: Headers, name: string): string | undefined {
  return oneOf(headers[name])
}

function leading(text: string | undefined): number | undefined {
  const digits = text && /^\s*(\d{1,12})\b/.exec(text)?.[1]
  return digits ? Number(digits) : undefined
}

function parameter(text: string | undefined, name: string): number | undefined {
  const digits = text && new RegExp(`(?:^|[;,\\s])${name}=(\\d{1,12})\\b`).exec(text)?.[1]
  return digits ? Number(digits) : undefined
}

function nameOf(item: string): string {
  return item.split(';', 1)[0]?.trim() ?? ''
}

function secondsUntil(reset: number | undefined, now: number): number | undefined {
  if (reset === undefined || reset < leastEpochSeconds) return reset
  return Math.max(0, reset - Math.floor(now / 1000))
}
