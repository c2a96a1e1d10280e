import { failure, type Reply } from './replies.ts'
import { matches, type RequestFilter, type SeenRequest } from './requests.ts'

export interface RateLimit {
  requests: number
  windowSeconds: number
  /** Default: every GET of a manifest. */
  counts?: RequestFilter
}

/** Counts like Docker Hub: every answer for a manifest says what is left, and when nothing is, 429 is what it is. */
export function createRateLimit({ requests, windowSeconds, counts }: RateLimit) {
  const isCounted = counts ?? { kind: 'manifest', method: 'GET' }
  let remaining = requests

  return (request: SeenRequest, answering: () => Reply): Reply => {
    if (request.kind !== 'manifest') return answering()
    const isRefused = matches(isCounted, request) && remaining === 0
    const reply = isRefused ? failure(429, 'TOOMANYREQUESTS', 'pull rate limit reached') : answering()
    if (reply.status === 401) return reply
    if (matches(isCounted, request) && !isRefused) remaining -= 1
    const stated = {
      'RateLimit-Limit': `${requests};w=${windowSeconds}`,
      'RateLimit-Remaining': `${remaining};w=${windowSeconds}`,
    }
    return { ...reply, headers: { ...reply.headers, ...stated } }
  }
}
