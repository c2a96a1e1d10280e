import { setTimeout as pause } from 'node:timers/promises'
import { outport as command } from '../../test/support/command.ts'
import { startShapedUpstream } from '../support/shaped-upstream.ts'
import type { RunningServer } from '../support/start-server.ts'
import { asPolicy, installOutport, type KeepingCase, metricOf, rewritePolicy } from './case.ts'
import { makeManyBlobs, rowsOfImage } from './many-blobs.ts'

const images = 10_000
const lag = 'nodejs_eventloop_lag_max_seconds'
/** Of some ninety that are kept. */
const budget = '50MiB'
const lookEveryMs = 1_000
/** A round rests for two seconds at most. */
const quietMs = 8_000

export const manyImages: KeepingCase = {
  number: 5,
  asks: `${images * rowsOfImage} blobs of ${images} images`,
  figures: [
    { key: 'ready', title: 'ready after ms', digits: 0, required: { of: 'worst', atMost: 2000 } },
    { key: 'ls', title: 'outport ls, ms', digits: 0, required: { of: 'worst', atMost: 1000 } },
    { key: 'listed', title: 'images it lists', digits: 0, required: { of: 'worst', atLeast: images } },
    { key: 'idleLag', title: 'longest delay of the event loop before, ms', digits: 0 },
    {
      key: 'lag',
      title: 'and while half of it is evicted, ms',
      digits: 0,
      required: { of: 'worst', atMost: 50 },
    },
    {
      key: 'evicted',
      title: 'evicted',
      digits: 0,
      required: { of: 'worst', atLeast: 0.3 * images * rowsOfImage },
    },
    { key: 'evictionSeconds', title: 'in s', digits: 0 },
  ],
  deadlineMs: 900_000,
  async measure(quick, signal) {
    await using upstream = await startShapedUpstream({ images: [] }, signal)
    await using installation = await installOutport(upstream.url, asPolicy({ budget: '1GiB', scrub: false }))
    await makeManyBlobs(installation.data, quick ? images / 10 : images)
    await using server = await installation.start(signal)
    const listing = await listed(installation)
    const idleLag = await lagWithin(server, 5_000, signal)

    await rewritePolicy(installation, upstream, asPolicy({ budget: quick ? '5MiB' : budget, scrub: false }))
    const eviction = await followEviction(server, signal)
    return { ready: server.readyMs, ...listing, idleLag, ...eviction }
  },
}

async function listed({ data, policies }: { data: string; policies: string }) {
  const startedAt = performance.now()
  const { code, stdout, stderr } = await command(['ls'], { OUTPORT_DATA: data, OUTPORT_POLICIES: policies })
  const ls = performance.now() - startedAt
  if (code !== 0) throw new Error(`ls: ${stderr}`)
  // A line is the heading.
  return { ls, listed: stdout.trimEnd().split('\n').length - 1 }
}

/** In milliseconds; each look begins a new measurement. */
async function lagNow(server: RunningServer): Promise<number> {
  return (await metricOf(server, lag)) * 1000
}

async function lagWithin(server: RunningServer, ms: number, signal: AbortSignal): Promise<number> {
  await lagNow(server)
  await pause(ms, undefined, { signal })
  return lagNow(server)
}

/** Until nothing has gone for a while. */
async function followEviction(server: RunningServer, signal: AbortSignal) {
  const startedAt = performance.now()
  const seen = { evicted: 0, at: startedAt }
  let most = 0
  while (seen.evicted === 0 || performance.now() - seen.at < quietMs) {
    await pause(lookEveryMs, undefined, { signal })
    most = Math.max(most, await lagNow(server))
    const evicted = await metricOf(server, 'outport_evicted_total')
    if (evicted !== seen.evicted) Object.assign(seen, { evicted, at: performance.now() })
  }
  return { lag: most, evicted: seen.evicted, evictionSeconds: (seen.at - startedAt) / 1000 }
}
