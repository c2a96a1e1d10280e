import type { Trouble } from '../flow/troubles.ts'
import type { Certificates, ServedCertificate } from '../http/certificates.ts'
import type { Face } from '../http/context.ts'
import { type FsckEvent, type FsckOptions, fsck } from '../jobs/fsck.ts'
import type { Gc } from '../jobs/gc.ts'
import { type GiveUpEvent, type GiveUpOptions, giveUp } from '../jobs/give-up.ts'
import type { ImageRow, Metadata } from '../metadata/metadata.ts'
import type { PartsEvent, PartsRequest } from '../transfer/export-parts.ts'
import type { Importer } from '../transfer/import.ts'
import { evictTargetOf } from './evict.ts'
import { type ExplainOptions, type Explanation, explain } from './explain.ts'
import { type PinLine, type PinOptions, pin, pinLines, unpin } from './pins.ts'
import { type PullEvent, type PullOptions, type PullRequest, pull } from './pull.ts'

/**
 * What a node can be asked for on its own machine, past its doors. A request is JSON. An answer comes in parts; where a
 * request is wrong or cannot be done it throws an error of one line.
 */
export interface Commands {
  status(request: Nothing, signal: AbortSignal): AsyncIterable<NodeStatus>
  /** Every tag of the site, in pages. */
  images(request: Nothing, signal: AbortSignal): AsyncIterable<ImageLine[]>
  /** See {@link fsck}. */
  fsck(request: { repair: boolean }, signal: AbortSignal): AsyncIterable<FsckEvent>
  /** Reads the certificates again, and says which are served now. */
  reloadCertificates(request: Nothing, signal: AbortSignal): AsyncIterable<ServedCertificate[]>
  /** See {@link pull}. */
  pull(request: PullRequest, signal: AbortSignal): AsyncIterable<PullEvent>
  /** See {@link evictTargetOf} for `images` and {@link giveUp} for what is done with them. */
  evict(request: { images: string[]; dry: boolean }, signal: AbortSignal): AsyncIterable<GiveUpEvent>
  /** See {@link Gc}. */
  gc: Gc['run']
  /** All of them, at once. */
  pins(request: Nothing, signal: AbortSignal): AsyncIterable<PinLine[]>
  /** A plain name is taken for a repository as people say it. */
  pin(request: { pattern: string }, signal: AbortSignal): AsyncIterable<{ pattern: string; isNew: boolean }>
  unpin(request: { pattern: string }, signal: AbortSignal): AsyncIterable<{ pattern: string }>
  /** See {@link explain}. */
  explain(request: { image: string }, signal: AbortSignal): AsyncIterable<Explanation>
  /** See {@link Importer}. */
  import: Importer
  /** Of what images consist, while the caller reads their bytes. */
  parts(request: PartsRequest, signal: AbortSignal): AsyncIterable<PartsEvent>
}

export type Nothing = Readonly<Record<string, never>>

/** By these names they are asked for at the socket. */
export const commandNames = Object.keys({
  status: true,
  images: true,
  fsck: true,
  reloadCertificates: true,
  pull: true,
  evict: true,
  gc: true,
  pins: true,
  pin: true,
  unpin: true,
  explain: true,
  import: true,
  parts: true,
} satisfies Record<keyof Commands, true>) as (keyof Commands)[]

export interface NodeStatus {
  version: string
  pid: number
  /** ISO 8601. */
  startedAt: string
  doors: { face: Face; url: string }[]
  /** What works less well than it should, the oldest first. */
  degraded: Trouble[]
  cache: { bytes: number; budgetBytes?: number }
}

export interface ImageLine {
  repository: string
  tag: string
  digest: string
  /** Of what of it is here. */
  bytes: number
  /** How many of its parts are not. */
  missing: number
  /** ISO 8601; absent: not even the manifest is here. */
  usedAt?: string
}

export interface CommandsOptions {
  metadata: Metadata
  certificates: Certificates
  fsck: FsckOptions
  pull: PullOptions
  evict: GiveUpOptions
  gc: Commands['gc']
  pins: PinOptions
  explain: ExplainOptions
  import: Importer
  parts: Commands['parts']
  status(): Omit<NodeStatus, 'cache'> & { budgetBytes?: number }
}

const pageRows = 1000

export function createCommands(options: CommandsOptions): Commands {
  const { metadata, certificates, status } = options
  return {
    async *status() {
      const { budgetBytes, ...node } = status()
      const bytes = await metadata.stored.bytes()
      yield { ...node, cache: { bytes, ...(budgetBytes !== undefined && { budgetBytes }) } }
    },
    async *images(_request, signal) {
      let next: Promise<ImageRow[]> | undefined = metadata.images.list(undefined, pageRows)
      while (next) {
        const page: ImageRow[] = await next
        signal.throwIfAborted()
        next = page.length < pageRows ? undefined : metadata.images.list(page.at(-1), pageRows)
        // Read while this page is on its way; who leaves hears no more of it.
        next?.catch(() => {})
        yield page.map(imageLineOf)
      }
    },
    fsck: ({ repair }, signal) => fsck(options.fsck, repair, signal),
    async *reloadCertificates() {
      await certificates.reload()
      yield certificates.served()
    },
    pull: (request, signal) => pull(options.pull, request, signal),
    async *evict({ images, dry }, signal) {
      const { site, mirror } = options.pull
      const targets = images.map((text) => evictTargetOf(site(), mirror, text))
      yield* giveUp(options.evict, targets, dry, signal)
    },
    gc: options.gc,
    async *pins() {
      yield pinLines(options.pins)
    },
    async *pin({ pattern }) {
      yield await pin(options.pins, pattern)
    },
    async *unpin({ pattern }) {
      yield await unpin(options.pins, pattern)
    },
    async *explain({ image }) {
      yield await explain(options.explain, image)
    },
    import: options.import,
    parts: options.parts,
  }
}

function imageLineOf({ usedAt, ...image }: ImageRow): ImageLine {
  return { ...image, ...(usedAt !== undefined && { usedAt: new Date(usedAt).toISOString() }) }
}
