import { line } from '../../test/support/line.ts'
import { type Fault, type SeenRequest, startUpstream, type Upstream } from '../../test/support/upstream.ts'
import { imageOf, type UpstreamCount, type UpstreamOrder, type UpstreamPlan } from './shaped-upstream.ts'

/** `shaped-upstream-process.ts PLAN`, forked: says its url when it is ready, then answers each {@link UpstreamOrder}. */
async function run(plan: UpstreamPlan): Promise<void> {
  const upstream = await startUpstream({ line: line(plan.line ?? {}) })
  for (const image of plan.images) upstream.addImage(image.repository, image.tag, imageOf(image))
  let faults = faultsOf(plan, upstream)
  function renew(): object {
    for (const fault of faults) fault[Symbol.dispose]()
    upstream.clear()
    faults = faultsOf(plan, upstream)
    return {}
  }
  process.on('message', (order: UpstreamOrder) => {
    process.send?.(order === 'count' ? countOf(upstream) : renew())
  })
  process.once('disconnect', () => process.exit())
  process.send?.({ url: upstream.url })
}

function countOf(upstream: Upstream): UpstreamCount {
  const manifests = upstream.requests.filter(({ kind }) => kind === 'manifest')
  const pulls = manifests.filter(isPull)
  const refusedPulls = pulls.filter(({ status }) => status === 429).length
  return {
    blobBytes: upstream.blobBytes(),
    pulls: pulls.length - refusedPulls,
    refusedPulls,
    manifestRequests: manifests.length,
  }
}

function isPull({ kind, method }: SeenRequest): boolean {
  return kind === 'manifest' && method === 'GET'
}

/** One request meets one of them at most, the first. */
function faultsOf({ resets, pullLimit, perConnection }: UpstreamPlan, upstream: Upstream): Fault[] {
  const faults: Fault[] = []
  if (resets)
    faults.push(
      upstream.fault({
        on: { kind: 'blob', method: 'GET' },
        times: resets.times,
        resetAt: resets.afterBytes,
      }),
    )
  if (pullLimit !== undefined) faults.push(...limitPulls(upstream, pullLimit))
  // A connection carries one answer at a time, so what limits the answer limits the connection.
  if (perConnection) faults.push(upstream.fault({ on: () => true, ...perConnection }))
  return faults
}

const windowSeconds = 6 * 60 * 60

/** Docker Hub's way: a GET of a manifest is a pull, a HEAD is none, and every answer says what is left. */
function limitPulls(upstream: Upstream, limit: number): Fault[] {
  let taken = 0
  const headers = {
    'RateLimit-Limit': `${limit};w=${windowSeconds}`,
    // Read for every answer anew.
    get 'RateLimit-Remaining'() {
      return `${Math.max(0, limit - taken)};w=${windowSeconds}`
    },
  }
  const refusal = upstream.fault({
    on: (request) => isPull(request) && ++taken > limit,
    status: 429,
    headers: {
      ...headers,
      'RateLimit-Remaining': `0;w=${windowSeconds}`,
      'Retry-After': String(windowSeconds),
    },
  })
  return [refusal, upstream.fault({ on: { kind: 'manifest' }, headers })]
}

await run(JSON.parse(process.argv[2] ?? '{}'))
