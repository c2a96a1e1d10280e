import { messageOf } from '../../src/flow/message-of.ts'
import { readManifests } from '../support/content.ts'
import { cpuSecondsOf, peakBytesOf } from '../support/process-cost.ts'
import type { BenchSettings } from '../support/question.ts'
import type { Figure } from '../support/requirement.ts'
import { inRounds } from '../support/rounds.ts'
import type { Server } from '../support/servers/server.ts'
import {
  imageOf,
  type PlannedImage,
  type ShapedUpstream,
  startShapedUpstream,
} from '../support/shaped-upstream.ts'
import { install, type RunningServer } from '../support/start-server.ts'
import type { Sample } from '../support/summary.ts'
import { type Case, type KnownImage, mebibyte, type Scale, type Stage, type StartOptions } from './case.ts'

/** Known of every case: what the server's processes cost from their start to their end. */
export const costFigures: readonly Figure[] = [
  { key: 'cpu', title: 'CPU s, start included', digits: 2 },
  { key: 'peak', title: 'peak MiB', digits: 0 },
]

export interface CaseResult {
  samples: Sample[]
  /** What went so wrong that there are no figures. */
  failures: string[]
}

/** Every server in every round, each time with nothing on its disk, in front of one upstream. */
export async function runCase(
  each: Case,
  servers: readonly Server[],
  settings: BenchSettings,
  signal: AbortSignal,
): Promise<CaseResult> {
  const scale = scaleOf(settings)
  const plan = each.upstream(scale)
  const starting = startShapedUpstream(plan, signal)
  // Made here and there at the same time; a failure there is told below.
  starting.catch(() => {})
  const images = plan.images.map(knownImageOf)
  await using upstream = await starting

  const failures: string[] = []
  process.stderr.write(`${each.number}. ${each.asks}\n`)
  const samples = await inRounds(settings.runs, servers, async (server, round) => {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(each.deadlineMs)])
    try {
      return await measure(each, { server, upstream, images, scale, signal: deadline })
    } catch (error) {
      signal.throwIfAborted()
      const message = messageOf(error)
      failures.push(`${each.number}, round ${round + 1}, ${server.name}: ${message.trim().split('\n')[0]}`)
      return {}
    }
  })
  return { samples, failures }
}

function scaleOf({ blobBytes, quick }: BenchSettings): Scale {
  return { sizeOf: (mebibytes) => Math.ceil((mebibytes / 64) * blobBytes), quick }
}

function knownImageOf(planned: PlannedImage): KnownImage {
  const { repository, tag } = planned
  const { manifest, layers } = imageOf(planned)
  const [layer] = layers
  if (!layer) throw new Error(`${repository}:${tag} has no layer`)
  const { digest, bytes: content } = layer
  return { repository, tag, manifest: manifest.digest, digest, bytes: content.length, content }
}

interface Setting {
  server: Server
  upstream: ShapedUpstream
  images: readonly KnownImage[]
  scale: Scale
  signal: AbortSignal
}

async function measure(each: Case, setting: Setting): Promise<Sample['values']> {
  const { server, upstream, images, scale, signal } = setting
  const [image] = images
  if (!image) throw new Error('the upstream has no image')
  await upstream.renew(signal)
  await using owned = new AsyncDisposableStack()
  const costs = createCosts()
  const installHere = async () => owned.use(await install(server, upstream.url))
  async function start({ installation, untouched }: StartOptions = {}): Promise<RunningServer> {
    const place = installation ?? (await installHere())
    const running = owned.use(costs.follow(await place.start(signal)))
    if (image && !untouched) await readManifests(running, image, signal)
    return running
  }
  const stage: Stage = { ...scale, upstream, images, image, signal, install: installHere, start }
  const values = await each.measure(stage)
  await owned.disposeAsync()
  return { ...values, ...costs.total() }
}

interface Costs {
  /** The same server; what it has cost is noted right before it ends. */
  follow(server: RunningServer): RunningServer
  total(): { cpu: number; peak: number }
}

/** Of several processes one after another: the CPU time of all that were not killed, the peak of the greediest. */
function createCosts(): Costs {
  let cpu = 0
  let peak = 0
  return {
    follow(server) {
      let noted = false
      async function note(): Promise<void> {
        if (noted) return
        noted = true
        const read = Promise.all([cpuSecondsOf(server.pid), peakBytesOf(server.pid)])
        const [seconds, bytes] = await read.catch((cause) => {
          throw new Error('it has ended by itself', { cause })
        })
        cpu += seconds
        peak = Math.max(peak, bytes / mebibyte)
      }
      return {
        ...server,
        // At once, while the moment is the right one: what this process has cost stays unknown.
        kill() {
          noted = true
          return server.kill()
        },
        async [Symbol.asyncDispose]() {
          await note().finally(() => server[Symbol.asyncDispose]())
        },
      }
    },
    total: () => ({ cpu, peak }),
  }
}
