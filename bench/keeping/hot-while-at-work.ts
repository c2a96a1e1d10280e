import { setTimeout as pause } from 'node:timers/promises'
import { fetchBlob } from '../../test/support/fetch-blob.ts'
import { blobUrl, type Layer, layerOf, manifestType, manifestUrl, readManifests } from '../support/content.ts'
import { load } from '../support/load.ts'
import { imageOf, type ShapedUpstream, startShapedUpstream } from '../support/shaped-upstream.ts'
import type { RunningServer } from '../support/start-server.ts'
import { spreadOf } from '../support/summary.ts'
import {
  asPolicy,
  installOutport,
  type KeepingCase,
  mebibyte,
  metricOf,
  type OutportInstallation,
  rewritePolicy,
} from './case.ts'
import { makeManyBlobs } from './many-blobs.ts'

const images = 10_000
const connections = 16
const rounds = 5
/** Between two looks whether it is at work. */
const lookEveryMs = 1_000
const patienceMs = 60_000
const atRest = { budget: '4GiB', scrub: false }

export const hotWhileAtWork: KeepingCase = {
  number: 4,
  asks: 'a hot manifest while small blobs are evicted and a large one is scrubbed',
  figures: [
    {
      key: 'ratio',
      title: 'requests/s, × those without',
      digits: 2,
      required: { of: 'worst', atLeast: 0.9 },
    },
    { key: 'without', title: 'requests/s without', digits: 0 },
    {
      key: 'evicted',
      title: 'evicted each second, at least',
      digits: 0,
      required: { of: 'worst', atLeast: 10 },
    },
    {
      key: 'scrubbed',
      title: 'MiB scrubbed each second, at least',
      digits: 1,
      required: { of: 'worst', atLeast: 8 },
    },
  ],
  deadlineMs: 900_000,
  async measure(quick, signal) {
    const image = { repository: 'bench/hot', tag: '1', layers: [(quick ? 64 : 512) * mebibyte] }
    await using upstream = await startShapedUpstream({ images: [image] }, signal)
    await using installation = await installOutport(upstream.url, asPolicy(atRest))
    await makeManyBlobs(installation.data, quick ? images / 5 : images)
    await using server = await installation.start(signal)
    const { repository, tag } = image
    const digest = imageOf(image).manifest.digest
    const layer = await layerOf(upstream.url, { repository, tag, digest, blobBytes: 0 })
    await readManifests(server, layer, signal)
    await fetchBlob(blobUrl(server, layer), { signal })

    const stage: Stage = { upstream, installation, server, layer, seconds: quick ? 2 : 5, signal }
    const results: Result[] = []
    // A part of the small blobs is given up in each round; the large one is in use and stays.
    let small = (quick ? 18 : 90) * mebibyte
    for (let round = 0; round < (quick ? 1 : rounds); round++) {
      small *= 0.75
      const work = {
        budget: `${Math.floor((layer.bytes + small) / 1024)}KiB`,
        high: '100%',
        low: '99%',
        scrub: { every: '1s', rate: '16MiB/s' },
      }
      const isReversed = round % 2 === 1
      const first = await measured(stage, isReversed ? work : atRest)
      const second = await measured(stage, isReversed ? atRest : work)
      const [without, busy] = isReversed ? [second, first] : [first, second]
      results.push({ ...busy, without: without.rate, ratio: busy.rate / without.rate })
    }
    return {
      ratio: spreadOf(results.map(({ ratio }) => ratio))?.median ?? Number.NaN,
      without: spreadOf(results.map(({ without }) => without))?.median ?? Number.NaN,
      evicted: Math.min(...results.map(({ evicted }) => evicted)),
      scrubbed: Math.min(...results.map(({ scrubbed }) => scrubbed)),
    }
  },
}

interface Stage {
  upstream: ShapedUpstream
  installation: OutportInstallation
  server: RunningServer
  layer: Layer
  seconds: number
  signal: AbortSignal
}

/** A second. */
interface Measured {
  rate: number
  evicted: number
  scrubbed: number
}

interface Result extends Measured {
  without: number
  ratio: number
}

async function measured(stage: Stage, cache: object): Promise<Measured> {
  const { upstream, installation, server, layer, seconds, signal } = stage
  await rewritePolicy(installation, upstream, asPolicy(cache))
  await isAtWork(server, cache !== atRest, signal)
  const before = await workOf(server)
  const options = { connections, seconds, headers: { Accept: manifestType } }
  const { requestsPerSecond } = await load(manifestUrl(server, layer, layer.manifest), options, signal)
  const after = await workOf(server)
  return {
    rate: requestsPerSecond,
    evicted: (after.evicted - before.evicted) / seconds,
    scrubbed: (after.scrubbed - before.scrubbed) / seconds,
  }
}

/**
 * A changed policy is read after a moment: resolves when it is followed.
 * @throws when it is not for a minute
 */
async function isAtWork(server: RunningServer, wanted: boolean, signal: AbortSignal): Promise<void> {
  const until = performance.now() + patienceMs
  while (performance.now() < until) {
    const before = await workOf(server)
    await pause(lookEveryMs, undefined, { signal })
    const after = await workOf(server)
    const evicts = after.evicted > before.evicted
    const scrubs = after.scrubbed > before.scrubbed
    if (wanted ? evicts || scrubs : !evicts && !scrubs) return
  }
  throw new Error(`Outport is ${wanted ? 'not at work' : 'still at work'} after ${patienceMs / 1000} s`)
}

async function workOf(server: RunningServer) {
  return {
    evicted: await metricOf(server, 'outport_evicted_total'),
    scrubbed: (await metricOf(server, 'outport_scrub_bytes_total')) / mebibyte,
  }
}
