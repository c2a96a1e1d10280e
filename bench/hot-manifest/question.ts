import { startUpstreamProcess } from '../demo/upstream-process.ts'
import { type Layer, layerOf, manifestType, manifestUrl, readManifests } from '../support/content.ts'
import { lineUpOf, startAll } from '../support/line-up.ts'
import { load, loadClientName } from '../support/load.ts'
import { cpuSecondsOf } from '../support/process-cost.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { inRounds } from '../support/rounds.ts'
import type { RunningServer } from '../support/start-server.ts'
import type { Column, Sample } from '../support/summary.ts'

const connections = 16
const layers = 8

const columns: readonly Column[] = [
  { key: 'digestCpu', title: 'by digest: CPU µs', digits: 0, compared: true },
  { key: 'digestRate', title: 'requests/s', digits: 0 },
  { key: 'tagCpu', title: 'by tag: CPU µs', digits: 0, compared: true },
  { key: 'tagRate', title: 'requests/s', digits: 0 },
]

export const hotManifest: Question = {
  name: 'hot-manifest',
  asks: 'what does it cost to serve a manifest that is here, by digest and by tag?',
  runs: 5,
  quickRuns: 2,
  answer,
}

async function answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer> {
  await using owned = new AsyncDisposableStack()
  const lineUp = await lineUpOf(settings)
  const image = ['--image', 'bench/manifest:1', '--layers', Array(layers).fill('1KiB').join(',')]
  const upstream = owned.use(await startUpstreamProcess(image))
  const layer = await layerOf(upstream.url, upstream.images[0])
  const servers = await startAll(lineUp.servers, upstream.url, owned, signal)
  for (const server of servers) await readManifests(server, layer, signal)

  const seconds = settings.quick ? 1 : 5
  const samples = await inRounds(settings.runs, servers, async (server) => {
    const byDigest = await measure(server, layer, layer.manifest, seconds, signal)
    const byTag = await measure(server, layer, layer.tag, seconds, signal)
    return {
      digestCpu: byDigest.cpuMicroseconds,
      digestRate: byDigest.requestsPerSecond,
      tagCpu: byTag.cpuMicroseconds,
      tagRate: byTag.requestsPerSecond,
    } satisfies Sample['values']
  })
  return {
    ...lineUp.about,
    title: `the manifest of an image of ${layers} layers, ${connections} connections for ${seconds} s by ${loadClientName()}`,
    columns,
    samples,
  }
}

async function measure(
  server: RunningServer,
  layer: Layer,
  reference: string,
  seconds: number,
  signal: AbortSignal,
): Promise<{ cpuMicroseconds: number; requestsPerSecond: number }> {
  const url = manifestUrl(server, layer, reference)
  const before = await cpuSecondsOf(server.pid)
  const options = { connections, seconds, headers: { Accept: manifestType } }
  const { requests, requestsPerSecond } = await load(url, options, signal)
  const cpuSeconds = (await cpuSecondsOf(server.pid)) - before
  return { cpuMicroseconds: (cpuSeconds * 1e6) / requests, requestsPerSecond }
}
