import type { BlobStore } from '../blobs/blob-store.ts'
import type { Room } from '../fill/room.ts'
import type { Holds } from '../flow/holds.ts'
import type { Usage } from '../jobs/usage.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Site } from '../projects/project.ts'
import { type ArrivalsOptions, openArrivals } from './arrivals.ts'
import { eventsOf } from './events.ts'
import { importRepository } from './import-repository.ts'
import { createImportedBlobs } from './imported-blobs.ts'
import { openSource } from './open-source.ts'
import { type Into, parseInto, placeOf } from './place.ts'
import { reasonOf, type Source, SourceFault, type SourceRepository } from './source.ts'

export interface ImportRequest {
  /** Absolute. */
  source: string
  /** `PROJECT` or `PROJECT/PREFIX`; absent: the first component of each name is its project. */
  into?: string
  /** Nothing is linked. */
  copy: boolean
  /** Says what would come, and takes nothing. */
  dry: boolean
  /** Tags that stand for something else here follow the source. */
  replace: boolean
}

export type ImportEvent =
  | ({ kind: 'progress' } & ImportSums)
  /** What of the source is no good, or does not come in, and why. */
  | { kind: 'problem'; subject: string; reason: string }
  /** What is no fault of the source, and still to be known. */
  | { kind: 'note'; subject: string; reason: string }
  | ({ kind: 'end' } & ImportSums)

export interface ImportSums {
  repositories: number
  /** That stand for what they stood for in the source. */
  tags: number
  /** Of images, indexes and artifacts that are here now. */
  manifests: number
  /** That were brought, and how. */
  linked: number
  copied: number
  /** Of those. */
  bytes: number
  /** Blobs that were here before. */
  present: number
  /** Bytes that were hashed. */
  hashed: number
  problems: number
}

export interface ImportOptions {
  metadata: Metadata
  blobs: BlobStore
  holds: Holds<Digest>
  /** What is found here is not to go before it is pointed to. */
  usage: Pick<Usage, 'used'>
  room: Pick<Room, 'take' | 'landed' | 'giveBack' | 'kept'>
  site(): Site
  /** Where bytes stand until they are whole. */
  drafts: string
  /** See {@link ArrivalsOptions.file}. */
  arrivals: ArrivalsOptions['file']
  /** Blobs are synced to the disk. */
  sync: boolean
  now?: () => number
}

/** One import is under way at a time. */
export type Importer = (request: ImportRequest, signal: AbortSignal) => AsyncGenerator<ImportEvent, void>

/**
 * Takes up what stands in somebody else's files. What is wrong there is told and left out, with the images that need it;
 * what is here already is not taken twice, so that an import that was stopped goes on when it is asked for again.
 */
export function createImporter(options: ImportOptions): Importer {
  let isUnderWay = false
  return async function* (request, signal) {
    if (isUnderWay) throw new Error('an import is under way already')
    isUnderWay = true
    try {
      yield* run(options, request, signal)
    } finally {
      isUnderWay = false
    }
  }
}

async function* run(
  options: ImportOptions,
  request: ImportRequest,
  signal: AbortSignal,
): AsyncGenerator<ImportEvent> {
  const site = options.site()
  const into = request.into === undefined ? undefined : parseInto(site, request.into)
  const sums: ImportSums = {
    ...{ repositories: 0, tags: 0, manifests: 0, linked: 0, copied: 0, bytes: 0 },
    ...{ present: 0, hashed: 0, problems: 0 },
  }
  async function work(tell: (event: ImportEvent) => void, ends: AbortSignal): Promise<void> {
    const onFault = (subject: string, reason: string) => {
      sums.problems += 1
      tell({ kind: 'problem', subject, reason })
    }
    const onNote = (subject: string, reason: string) => tell({ kind: 'note', subject, reason })
    const onBytes = (count: number) => {
      sums.hashed += count
    }
    const { drafts, blobs, room, arrivals } = options
    const parts = { drafts, blobs, room, onFault, onBytes: () => {} }
    await using source = await openSource(request.source, parts, ends)
    await using coming = request.dry
      ? undefined
      : await openArrivals({ ...options, file: arrivals, stored: options.metadata.stored })
    const expect = async (digest: Digest) => coming?.expect(digest)
    const shared = { ...options, ...request, source, sums, expect, onBytes, signal: ends }
    const imported = createImportedBlobs(shared)
    for await (const repository of source.repositories(ends)) {
      const place = placeFor(site, into, source, repository, onFault)
      if (!place) continue
      await importRepository({ ...shared, place, imported, onFault, onNote }, repository)
      sums.repositories += 1
    }
    coming?.done()
  }
  yield* eventsOf<ImportEvent>(work, () => ({ kind: 'progress', ...sums }), signal)
  yield { kind: 'end', ...sums }
}

function placeFor(
  site: Site,
  into: Into | undefined,
  { hasHosts }: Source,
  { name, tags, manifests }: SourceRepository,
  onFault: (subject: string, reason: string) => void,
) {
  try {
    return placeOf(site, into, name, hasHosts)
  } catch (error) {
    if (!(error instanceof SourceFault)) throw error
    const what = tags.length > 0 ? `${tags.length} tags` : `${manifests.length} manifests`
    onFault(name ?? what, reasonOf(error))
    return undefined
  }
}
