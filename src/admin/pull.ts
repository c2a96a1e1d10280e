import { setTimeout as sleep } from 'node:timers/promises'
import { createSlots, type Slots } from '../flow/slots.ts'
import type { Usage } from '../jobs/usage.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { formatImageName, parseImageName } from '../oci/image-name.ts'
import { aPlatform, type Platform, parsePlatform } from '../oci/platform.ts'
import { parseTag, type Reference } from '../oci/reference.ts'
import type { Target } from '../projects/locate.ts'
import { targetOfImage } from '../projects/named.ts'
import type { Site } from '../projects/project.ts'
import { reasonOf } from '../resolve/errors.ts'
import type { MirroredRepository, ResolvedRepository } from '../resolve/repository.ts'
import type { MissingPart, Progress, WholeImage, WholeImages } from '../resolve/whole-image.ts'

export interface PullRequest {
  images: string[]
  /** Of indexes; none: all. */
  platforms: string[]
  /** ISO 8601: it is tried again until then, and stopped. */
  until?: string
}

export type PullEvent =
  | ({ kind: 'progress'; image: string } & Progress)
  | PulledImage
  | { kind: 'end'; images: number; whole: number; bytes: number }

/** Whole where there is no `reason` and nothing is missing. */
export type PulledImage = {
  kind: 'image'
  image: string
  digest?: Digest
  /** Why nothing of it could be fetched. */
  reason?: string
  /** Upstream did not confirm that the tag still stands for it. */
  unconfirmed?: string
  missing: MissingPart[]
} & Progress

export interface PullOptions {
  site(): Site
  /** The default mirror's project. */
  mirror: string
  images: WholeImages
  resolved(target: Target): ResolvedRepository
  usage: Pick<Usage, 'used'>
}

const imagesAtATime = 2
const blobsAtATime = 4
const progressMs = 250
/** What is passing is tried again after this, while there is time. */
const againMs = 10_000
/** Timers know no longer ones. */
const longestMs = 2 ** 31 - 1

interface Job {
  image: string
  repository: MirroredRepository
  reference: Reference
  progress(): Progress
  outcome?: PulledImage
  isRunning: boolean
}

interface Surroundings {
  options: PullOptions
  platforms: readonly Platform[]
  places: Slots
  slots: Slots
  /** There is time to try again. */
  isPatient: boolean
  signal: AbortSignal
}

/** Fetches images whole. @throws before anything is fetched for a request that cannot be meant */
export async function* pull(
  options: PullOptions,
  request: PullRequest,
  signal: AbortSignal,
): AsyncGenerator<PullEvent, void> {
  const jobs = jobsOf(options, request)
  const platforms = request.platforms.map(platformOf)
  using clock = createClock(request.until)
  const stop = new AbortController()
  const surroundings: Surroundings = {
    ...{ options, platforms, isPatient: request.until !== undefined },
    places: createSlots(imagesAtATime),
    slots: createSlots(blobsAtATime),
    signal: AbortSignal.any([signal, stop.signal, clock.signal]),
  }
  let changed = Promise.withResolvers<void>()
  const work = jobs.map(async (job) => {
    job.outcome = await run(job, surroundings)
    changed.resolve()
  })
  try {
    const told = new Set<Job>()
    while (told.size < jobs.length) {
      const ended = jobs.filter((job) => job.outcome && !told.has(job))
      for (const job of ended) {
        told.add(job)
        if (job.outcome) yield job.outcome
      }
      if (ended.length > 0) continue
      await Promise.race([changed.promise, sleep(progressMs)])
      changed = Promise.withResolvers()
      for (const { isRunning, image, progress } of jobs)
        if (isRunning) yield { kind: 'progress', image, ...progress() }
    }
    yield endOf(jobs)
  } finally {
    stop.abort(new Error('nobody waits for it any more'))
    await Promise.all(work)
  }
}

function jobsOf({ site, mirror, resolved }: PullOptions, { images }: PullRequest): Job[] {
  const jobs = images.map((text): Job => {
    const name = parseImageName(text)
    const target = targetOfImage(site(), mirror, name)
    const { upstream, ...repository } = resolved(target)
    if (!upstream)
      throw new SyntaxError(`${target.project.name} is no mirror: there is nothing to pull ${text} from`)
    const { reference = { kind: 'tag', tag: parseTag('latest') } } = name
    return {
      image: formatImageName(target.repository, reference),
      repository: { ...repository, upstream },
      reference,
      progress: () => ({ parts: 0, ofParts: 0, bytes: 0, ofBytes: 0 }),
      isRunning: false,
    }
  })
  return [...new Map(jobs.map((job) => [job.image, job])).values()]
}

function platformOf(text: string): Platform {
  try {
    return parsePlatform(text)
  } catch (cause) {
    throw new SyntaxError(`expected ${aPlatform}, found ${JSON.stringify(text.slice(0, 100))}`, { cause })
  }
}

interface Clock extends Disposable {
  /** Aborts when the time is up. */
  signal: AbortSignal
}

function createClock(until: string | undefined): Clock {
  const isUp = new AbortController()
  if (until === undefined) return { signal: isUp.signal, [Symbol.dispose]() {} }
  const leftMs = Date.parse(until) - Date.now()
  if (!(leftMs > 0 && leftMs <= longestMs))
    throw new SyntaxError(`expected a time within 24 days, found ${until}`)
  const timer = setTimeout(() => isUp.abort(new Error('the time is up')), leftMs)
  return { signal: isUp.signal, [Symbol.dispose]: () => clearTimeout(timer) }
}

async function run(job: Job, surroundings: Surroundings): Promise<PulledImage> {
  const { isPatient, signal } = surroundings
  for (;;) {
    const { outcome, isPassing } = await once(job, surroundings)
    if (!isPatient || !isPassing || signal.aborted) return outcome
    await sleep(againMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return outcome
  }
}

/** Never rejects. `isPassing`: it is not whole, and may be so later. */
async function once(
  job: Job,
  { options, platforms, places, slots, signal }: Surroundings,
): Promise<{ outcome: PulledImage; isPassing: boolean }> {
  const { image, repository, reference } = job
  const { images, usage } = options
  try {
    const leave = await places.acquire(signal)
    job.isRunning = true
    try {
      const whole = await images.fetch(
        {
          ...{ repository, reference, platforms, slots },
          onFound: usage.used,
          watch(progress) {
            job.progress = progress
          },
        },
        signal,
      )
      usage.used(whole.digest)
      const isPassing = whole.missing.some((part) => part.isPassing)
      return { outcome: outcomeOf(job, whole), isPassing }
    } finally {
      job.isRunning = false
      leave()
    }
  } catch (error) {
    const outcome: PulledImage = {
      kind: 'image',
      image,
      reason: reasonOf(error),
      missing: [],
      ...job.progress(),
    }
    return { outcome, isPassing: error instanceof RegistryError && error.code === 'UNAVAILABLE' }
  }
}

function outcomeOf({ image, progress }: Job, { digest, unconfirmed, missing }: WholeImage): PulledImage {
  const said = unconfirmed === undefined ? {} : { unconfirmed }
  return { kind: 'image', image, digest, ...said, missing, ...progress() }
}

function endOf(jobs: readonly Job[]): PullEvent {
  const whole = jobs.filter(({ outcome }) => outcome?.reason === undefined && outcome?.missing.length === 0)
  const bytes = jobs.reduce((sum, { outcome }) => sum + (outcome?.bytes ?? 0), 0)
  return { kind: 'end', images: jobs.length, whole: whole.length, bytes }
}
