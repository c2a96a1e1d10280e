import { pull } from '../../test/support/pull.ts'
import type { Case, KnownImage, Scale } from './case.ts'

const clientsAtOnce = 16
/** So many clients want the same image at the same time. */
const clientsAnImage = 4
const layerBytes = 64 * 1024

/** All ask for the same few images by tag, as a cluster does through a day; upstream counts as Docker Hub does. */
export const pullLimit: Case = {
  number: 9,
  asks: `1000 pulls of 80 images by tag, ${clientsAnImage} of an image at a time, upstream allows 100 in six hours`,
  figures: [
    { key: 'errors', title: 'pulls that failed', digits: 0, required: { of: 'worst', atMost: 0 } },
    { key: 'pulls', title: 'pulls counted upstream', digits: 0, required: { of: 'worst', atMost: 80 } },
    { key: 'refused', title: 'refused by upstream', digits: 0 },
    { key: 'asked', title: 'requests for manifests upstream', digits: 0 },
    { key: 'seconds', title: 'all done, s', digits: 1 },
  ],
  deadlineMs: 120_000,
  upstream(scale) {
    const { images, limit } = amountsOf(scale)
    const named = Array.from({ length: images }, (_, at) => ({
      repository: `bench/image-${at}`,
      tag: '1',
      layers: [layerBytes],
    }))
    return { images: named, pullLimit: limit }
  },
  async measure(stage) {
    const { upstream, images, signal, start } = stage
    const server = await start({ untouched: true })
    const startedAt = performance.now()
    const errors = await pullAll(server.url, images, amountsOf(stage).pulls, signal)
    const seconds = (performance.now() - startedAt) / 1000
    const { pulls, refusedPulls, manifestRequests } = await upstream.count(signal)
    return { errors, pulls, refused: refusedPulls, asked: manifestRequests, seconds }
  },
}

function amountsOf({ quick }: Scale): { images: number; pulls: number; limit: number } {
  return quick ? { images: 8, pulls: 100, limit: 10 } : { images: 80, pulls: 1000, limit: 100 }
}

/** @returns how many failed */
async function pullAll(
  url: string,
  images: readonly KnownImage[],
  pulls: number,
  signal: AbortSignal,
): Promise<number> {
  const queue = Array.from(
    { length: pulls },
    (_, at) => images[Math.floor(at / clientsAnImage) % images.length],
  ).values()
  let failed = 0
  async function work(): Promise<void> {
    for (const image of queue) {
      if (!image) continue
      const right = await pull(url, image.repository, image.tag, { signal }).then(
        ({ digest }) => digest === image.manifest,
        () => false,
      )
      signal.throwIfAborted()
      if (!right) failed++
    }
  }
  await Promise.all(Array.from({ length: clientsAtOnce }, work))
  return failed
}
