import { fetchBlob } from '../../test/support/fetch-blob.ts'
import type { UpstreamStats } from '../../test/support/upstream/stats.ts'
import { startUpstreamProcess } from '../demo/upstream-process.ts'
import { blobUrl, type Layer, layerOf, readManifests } from '../support/content.ts'
import { lineUpOf, startAll } from '../support/line-up.ts'
import { cpuSecondsOf } from '../support/process-cost.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { judge } from '../support/requirement.ts'
import { inRounds } from '../support/rounds.ts'
import type { RunningServer } from '../support/start-server.ts'
import { type Column, type Sample, spreadOf, valuesOf } from '../support/summary.ts'

const clients = 10
const road = { rate: '40MiB/s', latency: '20ms' }

const columns: readonly Column[] = [
  { key: 'upstream', title: 'from upstream, × blob', digits: 2, compared: true },
  { key: 'firstByte', title: 'last first byte s', digits: 2, compared: true },
  { key: 'done', title: 'all done s', digits: 2, compared: true },
  { key: 'cpu', title: 'CPU s', digits: 2 },
  { key: 'right', title: `right of ${clients}`, digits: 0 },
]

export const coldClients: Question = {
  name: 'cold-clients',
  asks: `what do ${clients} clients get who ask at once for a blob that is not here, over a slow line?`,
  runs: 3,
  quickRuns: 1,
  answer,
}

async function answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer> {
  await using owned = new AsyncDisposableStack()
  const lineUp = await lineUpOf(settings)
  // A blob for each round: what has been asked for once is cold no more.
  const names = Array.from({ length: settings.runs }, (_, round) => `bench/cold-${round}:1`)
  const upstream = owned.use(
    await startUpstreamProcess([
      ...['--rate', road.rate, '--latency', road.latency, '--layers', String(settings.blobBytes)],
      ...names.flatMap((name) => ['--image', name]),
    ]),
  )
  const layers = await Promise.all(upstream.images.map((image) => layerOf(upstream.url, image)))
  const servers = await startAll(lineUp.servers, upstream.url, owned, signal)
  const samples = await inRounds(settings.runs, servers, (server, round) => {
    const layer = layers[round]
    if (!layer) throw new Error('a blob too few')
    return measure(server, upstream.url, layer, signal)
  })
  return {
    ...lineUp.about,
    title: `${clients} clients at once, one cold blob of ${settings.blobBytes} bytes, a line of ${road.rate} and ${road.latency}`,
    columns,
    samples,
    notes: [...lineUp.about.notes, ...verdictsOf(samples)],
  }
}

async function measure(
  server: RunningServer,
  upstream: string,
  layer: Layer,
  signal: AbortSignal,
): Promise<Sample['values']> {
  await readManifests(server, layer, signal)
  const [bytesBefore, cpuBefore] = [await sentBytes(upstream, layer), await cpuSecondsOf(server.pid)]
  const startedAt = performance.now()
  const gets = Array.from({ length: clients }, () => getBlob(blobUrl(server, layer), signal))
  const fetched = await Promise.all(gets)
  const done = (performance.now() - startedAt) / 1000
  return {
    upstream: ((await sentBytes(upstream, layer)) - bytesBefore) / layer.bytes,
    firstByte: Math.max(...fetched.map(({ firstByteMs }) => firstByteMs)) / 1000,
    done,
    cpu: (await cpuSecondsOf(server.pid)) - cpuBefore,
    right: fetched.filter(({ complete, sha256 }) => complete && sha256 === layer.digest).length,
  }
}

interface Got {
  complete: boolean
  sha256: string
  /** Of the body; infinite when none came. */
  firstByteMs: number
}

async function getBlob(url: string, signal: AbortSignal): Promise<Got> {
  const startedAt = performance.now()
  let firstByteMs = Number.POSITIVE_INFINITY
  const onProgress = () => {
    firstByteMs = Math.min(firstByteMs, performance.now() - startedAt)
  }
  const { complete, sha256 } = await fetchBlob(url, { signal, onProgress })
  return { complete, sha256, firstByteMs }
}

async function sentBytes(upstream: string, { digest }: Layer): Promise<number> {
  const stats = (await (await fetch(`${upstream}/_stats`)).json()) as UpstreamStats
  return stats.blobs[digest]?.bytes ?? 0
}

/** A hundredth more than the blob is allowed: a request that began before it was clear that none is needed. */
function verdictsOf(samples: readonly Sample[]): string[] {
  const worst = spreadOf(valuesOf(samples, 'outport', 'upstream'))?.max
  const wrong = samples.filter(({ values }) => values.right !== clients).map(({ server }) => server)
  const fetched = judge({
    what: 'bytes Outport takes from upstream',
    value: worst,
    atMost: 1.01,
    digits: 2,
    unit: '× the blob',
  })
  return wrong.length === 0 ? [fetched] : [fetched, `NOT all clients got the blob from: ${wrong.join(', ')}.`]
}
