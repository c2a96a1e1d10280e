import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { buildImage, type Image } from '../../test/support/images.ts'
import { plainEnvironment } from '../../test/support/node-process.ts'

/** What an upstream holds, and how its line is and breaks. */
export interface UpstreamPlan {
  images: readonly PlannedImage[]
  /** Shared by all connections. */
  line?: { bytesPerSecond?: number; latencyMs?: number }
  /** Of each connection alone, beside the line. */
  perConnection?: { bytesPerSecond: number; latencyMs: number }
  /** Blobs: so many answers are reset after so many bytes of each. */
  resets?: { times: number; afterBytes: number }
  /** GETs of manifests within six hours; the next are 429, as from Docker Hub. */
  pullLimit?: number
}

export interface PlannedImage {
  repository: string
  tag: string
  layers: readonly number[]
}

/** Since the last {@link ShapedUpstream.renew}. */
export interface UpstreamCount {
  /** Body bytes of blobs handed to sockets. */
  blobBytes: number
  /** GETs of manifests that were answered. */
  pulls: number
  refusedPulls: number
  /** Whatever was asked of manifests. */
  manifestRequests: number
}

/** A registry in a process of its own that counts what it gives. */
export interface ShapedUpstream extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  count(signal: AbortSignal): Promise<UpstreamCount>
  /** Counts from nothing again, and has all resets and pulls of its plan before it. */
  renew(signal: AbortSignal): Promise<void>
}

export type UpstreamOrder = 'count' | 'renew'

const program = join(import.meta.dirname, 'shaped-upstream-process.ts')
const startDeadlineMs = 60_000

/** The same bytes for the same plan, in whatever process. */
export function imageOf({ repository, tag, layers }: PlannedImage): Image {
  return buildImage({ layers, seed: `${repository}:${tag}`, compression: 'none' })
}

export async function startShapedUpstream(plan: UpstreamPlan, signal: AbortSignal): Promise<ShapedUpstream> {
  signal.throwIfAborted()
  const child = fork(program, [JSON.stringify(plan)], { env: plainEnvironment(), execArgv: [] })
  const orphaned = (): void => void child.kill('SIGKILL')
  process.once('exit', orphaned)
  child.once('exit', () => process.off('exit', orphaned))
  const stop = () => end(child)
  try {
    const { url } = await answerOf<{ url: string }>(child, AbortSignal.any([signal, deadline()]))
    return {
      url,
      pid: child.pid ?? Number.NaN,
      count: (caller) => ask<UpstreamCount>(child, 'count', caller),
      renew: (caller) => ask<void>(child, 'renew', caller),
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function deadline(): AbortSignal {
  return AbortSignal.timeout(startDeadlineMs)
}

/** One question at a time. */
async function ask<Value>(child: ChildProcess, order: UpstreamOrder, signal: AbortSignal): Promise<Value> {
  const answer = answerOf<Value>(child, signal)
  child.send(order)
  return answer
}

async function answerOf<Value>(child: ChildProcess, signal: AbortSignal): Promise<Value> {
  const settled = new AbortController()
  const options = { signal: AbortSignal.any([signal, settled.signal]) }
  const gone = once(child, 'exit', options).then(([code, killedBy]) => {
    throw new Error(`the upstream ended with ${code ?? killedBy}`)
  })
  try {
    const [message] = await Promise.race([once(child, 'message', options), gone])
    return message as Value
  } finally {
    gone.catch(() => {})
    settled.abort()
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}
