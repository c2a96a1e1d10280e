import type { Layer } from '../support/content.ts'
import type { Part } from '../support/question.ts'
import type { Figure } from '../support/requirement.ts'
import type { ShapedUpstream, UpstreamPlan } from '../support/shaped-upstream.ts'
import type { Installation, RunningServer } from '../support/start-server.ts'
import type { Sample } from '../support/summary.ts'

/** Something that happens to a mirror, and what is measured of it. Every server meets it anew, with nothing cached. */
export interface Case extends Part {
  readonly figures: readonly Figure[]
  /** A measurement that takes longer has failed. */
  readonly deadlineMs: number
  upstream(scale: Scale): UpstreamPlan
  measure(stage: Stage): Promise<Sample['values']>
}

export interface Scale {
  /** @returns bytes: that many MiB, or as much less as all sizes of this run are */
  sizeOf(mebibytes: number): number
  /** Fewer of everything too. */
  quick: boolean
}

/** The first layer of an image, with its bytes. */
export interface KnownImage extends Layer {
  content: Buffer
}

export interface Stage extends Scale {
  readonly upstream: ShapedUpstream
  /** As the upstream has them; `image` is the first. */
  readonly images: readonly KnownImage[]
  readonly image: KnownImage
  readonly signal: AbortSignal
  /** The server on a disk of its own. */
  install(): Promise<Installation>
  /** Starts the server and reads the image's manifests, as a pull begins. */
  start(options?: StartOptions): Promise<RunningServer>
}

export interface StartOptions {
  /** Default: a new one. */
  installation?: Installation
  /** Nothing is read of it. */
  untouched?: boolean
}

export const mebibyte = 1024 ** 2

/** The line that most cases have. */
export const usualLine = { bytesPerSecond: 40 * mebibyte, latencyMs: 20 }

/** A plan with one image of one layer. */
export function oneBlob(bytes: number, plan: Omit<UpstreamPlan, 'images'> = {}): UpstreamPlan {
  return { images: [{ repository: 'bench/blob', tag: '1', layers: [bytes] }], ...plan }
}
