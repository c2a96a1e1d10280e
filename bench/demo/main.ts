import { type Edge, startEdge } from '../../test/support/edge.ts'
import { mirrorPolicies } from '../../test/support/mirror-policy.ts'
import { findClient, ownClient, type PullClient } from './clients.ts'
import { formatMiB, formatTable, type Row } from './table.ts'
import { startUpstreamProcess, type UpstreamProcess } from './upstream-process.ts'

/**
 * What a mirror is good for, shown without Internet: an upstream behind a slow line, an edge in front of it, a client.
 * Ends with 0 only when everything it claims was so.
 */

const deadlineMs = 120_000
const clientsAtOnce = 10
const road = { rate: '8MiB/s', latency: '40ms' }
const upstreamArgs = [
  ...['--rate', road.rate, '--latency', road.latency],
  ...['--image', 'library/probe:1', '--layers', '1KiB'],
  ...['--image', 'library/app:1', '--layers', '1MiB,3MiB,4MiB,8MiB'],
  ...['--image', 'library/tool:1', '--layers', '2MiB,6MiB,8MiB'],
]

type Image = UpstreamProcess['images'][number]

interface Stage {
  upstream: UpstreamProcess
  edge: Edge
  client: PullClient
  signal: AbortSignal
}

async function main(signal: AbortSignal): Promise<boolean> {
  await using upstream = await startUpstreamProcess(upstreamArgs)
  const [probe, app, tool] = upstream.images
  if (!probe || !app || !tool) throw new Error('the upstream has not the images it was told to have')
  const client = await findClient({ host: upstream.host, ...probe }, signal)
  await using edge = await startEdge({
    policies: mirrorPolicies(upstream, { registry: { segments: 'auto' } }),
  })
  const stage = { upstream, edge, client, signal }
  console.log(`An upstream behind a line of ${road.rate} and ${road.latency}, an edge in front of it.`)
  console.log(`Client: ${client.name}. Image: ${formatMiB(app.blobBytes)} in 4 layers.\n`)

  const rows = [
    await show(stage, 'cold pull', app, { fromUpstream: app.blobBytes }),
    await show(stage, 'the same again', app, { fromUpstream: 0 }),
    await showTogether(stage, tool),
    await showCutOff(stage, app),
  ]
  console.log(formatTable(rows))
  return rows.every(({ ok }) => ok)
}

/** One pull, which is to be right and to take exactly so many blob bytes from upstream. */
async function show(
  stage: Stage,
  what: string,
  image: Image,
  promise: { fromUpstream: number },
): Promise<Row> {
  const { upstream, edge, client, signal } = stage
  const before = await upstream.blobBytes()
  const { right, seconds } = await timed(() => pullRight(client, edge, image, signal))
  const upstreamBytes = (await upstream.blobBytes()) - before
  const ok = right && upstreamBytes === promise.fromUpstream
  return { what, seconds, upstreamBytes, imageBytes: image.blobBytes, ok }
}

/** Clients that ask at the same moment for an image nobody has asked for before. */
async function showTogether({ upstream, edge, client, signal }: Stage, image: Image): Promise<Row> {
  const each = client.isAlone ? client : ownClient
  const before = await upstream.blobBytes()
  const { right, seconds } = await timed(async () => {
    const pulls = Array.from({ length: clientsAtOnce }, () => pullRight(each, edge, image, signal))
    return (await Promise.all(pulls)).every(Boolean)
  })
  const upstreamBytes = (await upstream.blobBytes()) - before
  const ok = right && upstreamBytes === image.blobBytes
  const who = client.isAlone ? 'clients' : 'clients of our own'
  const what = `${clientsAtOnce} ${who} at once, another cold image`
  return { what, seconds, upstreamBytes, imageBytes: image.blobBytes, ok }
}

async function showCutOff({ upstream, edge, client, signal }: Stage, image: Image): Promise<Row> {
  await upstream.cutOff()
  const isGone = await upstream.blobBytes().then(
    () => false,
    () => true,
  )
  const { right, seconds } = await timed(() => pullRight(client, edge, image, signal))
  const what = 'a pull with the upstream cut off'
  return { what, seconds, upstreamBytes: undefined, imageBytes: image.blobBytes, ok: isGone && right }
}

async function pullRight(
  client: PullClient,
  edge: Edge,
  image: Image,
  signal: AbortSignal,
): Promise<boolean> {
  const { repository, tag, digest } = image
  try {
    return (await client.pull({ host: edge.host, repository, tag }, signal)) === digest
  } catch (error) {
    signal.throwIfAborted()
    console.error(error instanceof Error ? error.message : error)
    return false
  }
}

async function timed(work: () => Promise<boolean>): Promise<{ right: boolean; seconds: number }> {
  const startedAt = performance.now()
  const right = await work()
  return { right, seconds: (performance.now() - startedAt) / 1000 }
}

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))
process.once('SIGTERM', () => interrupted.abort(new Error('terminated')))
const overdue = new AbortController()
const timer = setTimeout(
  () => overdue.abort(new Error(`not through after ${deadlineMs / 1000} s`)),
  deadlineMs,
)
try {
  const held = await main(AbortSignal.any([interrupted.signal, overdue.signal]))
  process.exitCode = held ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  clearTimeout(timer)
}
