import type { Trouble } from '../flow/troubles.ts'
import type { Certificates, ServedCertificate } from '../http/certificates.ts'
import { type FsckEvent, type FsckOptions, fsck } from '../jobs/fsck.ts'
import type { ImageRow, Metadata } from '../metadata/metadata.ts'

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
}

export type Nothing = Readonly<Record<string, never>>

/** By these names they are asked for at the socket. */
export const commandNames = [
  'status',
  'images',
  'fsck',
  'reloadCertificates',
] as const satisfies readonly (keyof Commands)[]

export interface NodeStatus {
  version: string
  pid: number
  /** ISO 8601. */
  startedAt: string
  doors: string[]
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

export interface CommandsOptions extends FsckOptions {
  metadata: Metadata
  certificates: Certificates
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
    fsck: ({ repair }, signal) => fsck(options, repair, signal),
    async *reloadCertificates() {
      await certificates.reload()
      yield certificates.served()
    },
  }
}

function imageLineOf({ usedAt, ...image }: ImageRow): ImageLine {
  return { ...image, ...(usedAt !== undefined && { usedAt: new Date(usedAt).toISOString() }) }
}
