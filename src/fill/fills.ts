import { createDiskWatch, type DiskTrouble, isDiskFull } from '../flow/disk-trouble.ts'
import { createSlots } from '../flow/slots.ts'
import { algorithmOf, type Digest, digestOf, hexOf } from '../oci/digest.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import { createAdmission, type FillLimits } from './admission.ts'
import { isLie } from './attempts.ts'
import { createInFlight } from './in-flight.ts'
import {
  type FillRequest,
  type FillSurroundings,
  type RunningFill,
  type Shared,
  startFill,
} from './running-fill.ts'

/** The downloads under way on this node: one for a digest, whoever asks and however many. */
export interface Fills {
  /** The running fill that others may join, and which then goes on; whether the asker may is for the caller to decide. */
  find(digest: Digest): RunningFill | undefined
  /** Settles when no fill of `digest` is ending because nobody wants it any more. */
  whenFree(digest: Digest): Promise<void>
  /** Starts a fill, or finds the asker's own; `undefined` when only one of others is running. */
  start(request: FillRequest): RunningFill | undefined
  /** From now on so many may run. */
  limit(limits: FillLimits): void
  /** How many wait until they may begin. */
  waiting(): number
  /** Why the disk kept nothing the last time, for as long as that is so. */
  trouble(): DiskTrouble | undefined
  /** Ends what is under way; it goes on from where it was at the next start. */
  [Symbol.asyncDispose](): Promise<void>
}

export interface FillsOptions extends FillSurroundings {
  limits: FillLimits
  onStarted?(request: FillRequest): void
  onKept?(request: FillRequest, ms: number): void
}

/** What waits for its turn costs memory: nobody may have more of it than this waiting, nor all together. */
const mostOfClient = 512
const mostInAll = 4096
/** What waits for the disk in all fills; about as much is being written, and as much again kept for who follows closely. */
const inFlightBytes = 16 * 1024 * 1024

export function createFills(options: FillsOptions): Fills {
  const { metrics } = options
  const running = new Map<string, { fill: RunningFill; client: string }>()
  const stop = new AbortController()
  const shared: Shared = {
    options,
    admission: createAdmission(options.limits),
    slots: createSlots(options.limits.all),
    inFlight: createInFlight(inFlightBytes),
    signal: stop.signal,
  }
  const disk = createDiskWatch()

  function refuseTooMany(client: string): void {
    const trouble = disk.trouble()
    if (trouble?.kind === 'full' && shared.slots.free === 0) throw trouble.error
    let ofClient = 0
    for (const each of running.values()) if (each.client === client) ofClient += 1
    if (ofClient < mostOfClient && running.size < mostInAll) return
    throw new UpstreamError('limited', 'too many blobs wait to be fetched')
  }

  function start(request: FillRequest): RunningFill | undefined {
    const id = fileNameOf(request)
    const known = running.get(id)?.fill
    if (known) return known.repositories.has(request.repository) && known.claim() ? known : undefined
    refuseTooMany(request.client)
    const startedAt = performance.now()
    options.onStarted?.(request)
    const fill = startFill(shared, request, id)
    running.set(id, { fill, client: request.client })
    metrics.fills.set(running.size)
    const forget = () => {
      running.delete(id)
      metrics.fills.set(running.size)
    }
    const kept = () => {
      forget()
      disk.kept()
      options.onKept?.(request, performance.now() - startedAt)
    }
    fill.done.then(kept, (error: unknown) => {
      forget()
      if (fill.isEnding) return
      metrics.fillFailures.inc()
      if (isDiskFull(error)) metrics.fillsSkippedDisk.inc()
      disk.failed(error)
      if (isLie(error)) metrics.upstreamLies.inc({ registry: request.registry })
      if (!stop.signal.aborted) options.onError(error, request.digest)
    })
    return fill
  }
  return {
    find(digest) {
      const fill = running.get(`${algorithmOf(digest)}-${hexOf(digest)}`)?.fill
      return fill?.claim() ? fill : undefined
    },
    async whenFree(digest) {
      const ending = [...running.values()].filter(({ fill }) => fill.digest === digest && fill.isEnding)
      await Promise.allSettled(ending.map(({ fill }) => fill.done))
    },
    start,
    limit(limits) {
      shared.admission.limit(limits)
      shared.slots.limit(limits.all)
    },
    waiting: () => shared.admission.waiting,
    trouble: disk.trouble,
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the node is stopping'))
      await Promise.allSettled([...running.values()].map(({ fill }) => fill.done))
    },
  }
}

/** A digest's part is `<algorithm>-<hex>`; one apart has a mark of its repository behind it. */
function fileNameOf({ digest, apart, repository }: FillRequest): string {
  const name = `${algorithmOf(digest)}-${hexOf(digest)}`
  return apart ? `${name}-${hexOf(digestOf(Buffer.from(repository))).slice(0, 16)}` : name
}
