import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { extentBytes } from '../../src/blobs/extents.ts'
import { flip, pathOf } from '../../test/faults/support/stored.ts'
import { type Fetched, fetchBlob } from '../../test/support/fetch-blob.ts'
import { blobUrl, type Layer, manifestUrl } from '../support/content.ts'
import { type ShapedUpstream, startShapedUpstream } from '../support/shaped-upstream.ts'
import type { RunningServer } from '../support/start-server.ts'
import { asPolicy, installOutport, type KeepingCase, mebibyte, metricOf } from './case.ts'

const repository = 'bench/blob'
const askAgainMs = 100
/** The extent that is wrong, and the blob's end, for which upstream is asked in any case. */
const mostExtents = 2

export const flippedBit: KeepingCase = {
  number: 2,
  asks: 'one bit flips in a blob of 1 GiB',
  figures: [
    {
      key: 'scrubSeconds',
      title: 'found and mended by scrub after s',
      digits: 1,
      required: { of: 'worst', atMost: 120 },
    },
    {
      key: 'scrubExtents',
      title: 'fetched again by scrub, extents of 512 KiB',
      digits: 2,
      required: { of: 'worst', atMost: mostExtents },
    },
    {
      key: 'readExtents',
      title: 'fetched again by reading, extents',
      digits: 2,
      required: { of: 'worst', atMost: mostExtents },
    },
    {
      key: 'wrong',
      title: 'answers that were complete and wrong',
      digits: 0,
      required: { of: 'worst', atMost: 0 },
    },
    {
      key: 'mended',
      title: 'right and from the disk afterwards',
      digits: 0,
      required: { of: 'worst', atLeast: 2 },
    },
  ],
  deadlineMs: 600_000,
  async measure(quick, signal) {
    const images = [{ repository, tag: '1', layers: [(quick ? 64 : 1024) * mebibyte] }]
    await using upstream = await startShapedUpstream({ images }, signal)
    const byScrub = await found(upstream, { every: '1s', rate: '1GiB/s' }, mendedByScrub, signal)
    const byReader = await found(upstream, false, mendedByReader, signal)
    return {
      scrubSeconds: byScrub.seconds,
      scrubExtents: byScrub.extents,
      readExtents: byReader.extents,
      wrong: byScrub.wrong + byReader.wrong,
      mended: byScrub.mended + byReader.mended,
    }
  },
}

interface Stage {
  server: RunningServer
  url: string
  digest: string
  /** Blobs that the scrub had brought back before. */
  healed: number
  signal: AbortSignal
}

/** @returns how many complete and wrong answers came */
type Mend = (stage: Stage) => Promise<number>

async function found(upstream: ShapedUpstream, scrub: object | false, mend: Mend, signal: AbortSignal) {
  await using installation = await installOutport(upstream.url, asPolicy({ scrub }))
  await using server = await installation.start(signal)
  const layer = await layerThrough(server, signal)
  const url = blobUrl(server, layer)
  const first = await fetchBlob(url, { signal })
  if (isWrong(first, layer.digest)) throw new Error('the blob was wrong before a bit had flipped')
  await upstream.renew(signal)
  const stage = { server, url, digest: layer.digest, healed: await healedOf(server), signal }

  const startedAt = performance.now()
  await flip(pathOf(join(installation.folder, 'data'), layer.digest), Math.floor(Math.random() * layer.bytes))
  const wrong = await mend(stage)
  const seconds = (performance.now() - startedAt) / 1000

  const extents = (await upstream.count(signal)).blobBytes / extentBytes
  const after = await fetchBlob(stage.url, { signal })
  const isHit = after.complete && after.headers['x-outport-cache'] === 'hit' && !isWrong(after, layer.digest)
  return { seconds, extents, wrong: wrong + Number(isWrong(after, layer.digest)), mended: Number(isHit) }
}

function healedOf(server: RunningServer): Promise<number> {
  return metricOf(server, 'outport_blobs_healed_total')
}

async function mendedByScrub({ server, healed, signal }: Stage): Promise<number> {
  while ((await healedOf(server)) <= healed) await pause(askAgainMs, undefined, { signal })
  return 0
}

async function mendedByReader({ server, url, digest, signal }: Stage): Promise<number> {
  let wrong = 0
  for (;;) {
    const answer = await fetchBlob(url, { signal })
    if (isWrong(answer, digest)) wrong += 1
    if (answer.complete && (await metricOf(server, 'outport_blobs_rotten_total')) > 0) return wrong
  }
}

function isWrong({ status, complete, sha256 }: Fetched, digest: string): boolean {
  return status === 200 && complete && sha256 !== digest
}

async function layerThrough(server: RunningServer, signal: AbortSignal): Promise<Layer> {
  const image = { repository, tag: '1' }
  const unknown = { ...image, manifest: '', digest: '', bytes: 0 }
  const { body, sha256 } = await fetchBlob(manifestUrl(server, unknown, '1'), { keep: true, signal })
  const { layers } = JSON.parse(body.toString()) as { layers: { digest: string; size: number }[] }
  const [layer] = layers
  if (!layer) throw new Error('the image has no layer')
  return { ...image, manifest: sha256, digest: layer.digest, bytes: layer.size }
}
