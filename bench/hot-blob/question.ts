import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryDirectory } from '../../test/support/temporary.ts'
import { startUpstreamProcess, type UpstreamProcess } from '../demo/upstream-process.ts'
import { blobUrl, type Layer, layerOf, manifestUrl, readManifests, whole } from '../support/content.ts'
import { download } from '../support/curl.ts'
import { lineUpOf, startAll } from '../support/line-up.ts'
import { cpuSecondsOf, forgetPeak, peakBytesOf } from '../support/process-cost.ts'
import { programPath } from '../support/programs.ts'
import type { Answer, BenchSettings, Question } from '../support/question.ts'
import { judge } from '../support/requirement.ts'
import { inRounds } from '../support/rounds.ts'
import { nginx } from '../support/servers/nginx.ts'
import type { RunningServer } from '../support/start-server.ts'
import { type Column, ratioOf, type Sample } from '../support/summary.ts'

/** What Outport may cost, as a multiple of distribution's CPU seconds per GB. */
const allowedRatio = 1.3

const patientTries = 20

const columns: readonly Column[] = [
  { key: 'cpu', title: 'CPU s/GB', digits: 3, compared: true },
  { key: 'rate', title: 'GB/s', digits: 2 },
  { key: 'peak', title: 'peak MiB', digits: 0 },
]

export const hotBlob: Question = {
  name: 'hot-blob',
  asks: 'what does it cost to serve a blob that is here?',
  runs: 5,
  quickRuns: 3,
  answer,
}

async function answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer> {
  await using owned = new AsyncDisposableStack()
  programPath('curl', 'the client, curl,')
  const { path: files } = owned.use(await temporaryDirectory())
  const lineUp = await lineUpOf(settings, { nginx: await nginx(files) })
  const image = ['--image', 'bench/hot:1', '--layers', String(settings.blobBytes)]
  const upstream = owned.use(await startUpstreamProcess(image))
  const layer = await layerOf(upstream.url, upstream.images[0])
  await lay(files, upstream, layer)
  const servers = await startAll(lineUp.servers, upstream.url, owned, signal)
  for (const server of servers) await heat(server, layer, signal)

  const times = settings.quick ? 4 : 16
  const before = await upstream.blobBytes()
  const samples = await inRounds(settings.runs, servers, (server) => measure(server, layer, times, signal))
  const fetched = (await upstream.blobBytes()) - before
  if (fetched > 0) throw new Error(`not hot: ${fetched} bytes came from upstream meanwhile`)

  return {
    ...lineUp.about,
    title: `a hot blob of ${layer.bytes} bytes, downloaded ${times} times in a round by one client; GB = 1e9 bytes`,
    columns,
    samples,
    notes: [...lineUp.about.notes, verdictOf(samples, lineUp.about.reference)],
  }
}

/** Blob and manifest as files, at the paths that registries have them at. */
async function lay(folder: string, upstream: UpstreamProcess, layer: Layer): Promise<void> {
  const manifests = [layer.manifest, layer.tag].map((each) => [
    manifestUrl(upstream, layer, each),
    layer.manifest,
  ])
  for (const [url = '', digest = ''] of [[blobUrl(upstream, layer), layer.digest], ...manifests]) {
    const file = join(folder, new URL(url).pathname)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, await whole(url, digest))
  }
}

/** The first fills the cache, the second comes from it. */
/** Peers that answer before they have committed fail who asks again at once; Outport is held to it. */
async function heat(server: RunningServer, layer: Layer, signal: AbortSignal): Promise<void> {
  await readManifests(server, layer, signal)
  const url = blobUrl(server, layer)
  await whole(url, layer.digest, signal)
  for (let left = server.name === 'outport' ? 0 : patientTries; ; left--) {
    try {
      await whole(url, layer.digest, signal)
      return
    } catch (error) {
      if (left === 0) throw error
      await sleep(100, undefined, { signal })
    }
  }
}

async function measure(
  server: RunningServer,
  layer: Layer,
  times: number,
  signal: AbortSignal,
): Promise<Sample['values']> {
  await forgetPeak(server.pid)
  const before = await cpuSecondsOf(server.pid)
  const { bytes, seconds } = await download(blobUrl(server, layer), { times, bytes: layer.bytes }, signal)
  const cpuSeconds = (await cpuSecondsOf(server.pid)) - before
  return {
    cpu: cpuSeconds / (bytes / 1e9),
    rate: bytes / 1e9 / seconds,
    peak: (await peakBytesOf(server.pid)) / 1024 ** 2,
  }
}

function verdictOf(samples: readonly Sample[], reference: string): string {
  return judge({
    what: `CPU s/GB of Outport, as a multiple of that of ${reference},`,
    value: ratioOf(samples, 'cpu', 'outport', reference),
    atMost: allowedRatio,
    digits: 2,
    unit: '×',
  })
}
