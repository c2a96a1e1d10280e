import { createSingleFlight } from '../flow/single-flight.ts'
import { createSlots } from '../flow/slots.ts'
import type { Digest } from '../oci/digest.ts'
import { bring } from './bring.ts'
import type { ImportOptions, ImportRequest, ImportSums } from './import.ts'
import type { Place } from './place.ts'
import { openInside, reasonOf, type Source, SourceFault } from './source.ts'

/** Blobs of one source, each brought once however many repositories have it. */
export interface ImportedBlobs {
  /**
   * It is here, and belongs to the repository.
   * @param size as a manifest states it
   * @throws SourceFault why it cannot be had from the source
   */
  take(place: Place, digest: Digest, size?: number): Promise<void>
}

export interface ImportedBlobsOptions extends ImportOptions, Pick<ImportRequest, 'copy' | 'dry'> {
  source: Source
  sums: ImportSums
  expect(digest: Digest): Promise<void>
  onBytes(count: number): void
  signal: AbortSignal
}

/** How many are hashed at a time. */
const atATime = 4

export function createImportedBlobs(options: ImportedBlobsOptions): ImportedBlobs {
  const { metadata, blobs, holds, usage, room, source, sums, dry, signal } = options
  const slots = createSlots(atATime)
  const flight = createSingleFlight<void>()
  /** Once is enough to find out. */
  const faults = new Map<Digest, string>()

  async function isHere(digest: Digest, size: number | undefined): Promise<boolean> {
    const found = await blobs.find(digest)
    return found !== undefined && (size === undefined || found.size === size)
  }

  /** Bytes that nothing knows of were never hashed for anybody, and `fsck` would take them away again. */
  async function isKnown(digest: Digest, size: number | undefined): Promise<boolean> {
    return (await isHere(digest, size)) && (await metadata.stored.held([digest])).length > 0
  }

  /** Its bytes, and with them the first link to them. */
  async function fetch(
    { repository, origin }: Place,
    digest: Digest,
    size: number | undefined,
  ): Promise<void> {
    using _hold = await holds.hold(digest)
    if (await isKnown(digest, size)) {
      await metadata.links.add([{ repository, digest, origin }])
      sums.present += 1
      return
    }
    const brought = await bring(options, source, digest, signal)
    await metadata.recordBlob({ digest, size: brought.size, repositories: [repository], origin })
    room.kept(brought.size)
    sums[brought.how] += 1
    sums.bytes += brought.size
  }

  async function look(digest: Digest, size: number | undefined): Promise<void> {
    if (await isHere(digest, size)) {
      sums.present += 1
      return
    }
    sums.bytes += await sizeOf(digest)
  }

  async function sizeOf(digest: Digest): Promise<number> {
    await using handle = await openInside(source, source.fileOf(digest))
    return (await handle.stat()).size
  }

  const seen = new Set<Digest>()
  async function once(place: Place, digest: Digest, size: number | undefined): Promise<void> {
    const known = faults.get(digest)
    if (known !== undefined) throw new SourceFault(known)
    if (dry && seen.has(digest)) return
    const leave = await slots.acquire(signal)
    try {
      await (dry ? look(digest, size) : fetch(place, digest, size))
      if (dry) seen.add(digest)
    } catch (error) {
      if (error instanceof SourceFault) faults.set(digest, reasonOf(error))
      throw error
    } finally {
      leave()
    }
  }

  return {
    async take(place, digest, size) {
      const { repository, origin } = place
      usage.used(digest)
      const isLinked = (await metadata.links.find(repository, digest)) !== undefined
      if (isLinked && (await isHere(digest, size))) return
      if (size !== undefined && !(await isHere(digest, size))) {
        const there = await sizeOf(digest)
        if (there !== size) throw new SourceFault(`has ${there} bytes, and its manifest says ${size}`)
      }
      await flight(digest, () => once(place, digest, size))
      if (dry || (await metadata.links.find(repository, digest))) return
      using _hold = await holds.hold(digest)
      if (!(await isHere(digest, size))) throw new SourceFault('went again while it was taken')
      await metadata.links.add([{ repository, digest, origin }])
    },
  }
}
