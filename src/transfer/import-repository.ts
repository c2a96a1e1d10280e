import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { type Manifest, maxManifestBytes, mediaTypes, parseManifest } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/reference.ts'
import { listingOf, type Referrer, referrerOf } from '../oci/referrer.ts'
import { mayShadow } from '../projects/project.ts'
import { listingOf as listingTag } from '../resolve/referrers.ts'
import { eachOf } from './events.ts'
import type { ImportRequest } from './import.ts'
import type { ImportedBlobs, ImportedBlobsOptions } from './imported-blobs.ts'
import type { Place } from './place.ts'
import {
  notThere,
  type OnFault,
  pathInside,
  readSmall,
  reasonOf,
  SourceFault,
  type SourceRepository,
} from './source.ts'

export interface ImportRepositoryOptions extends ImportedBlobsOptions, Pick<ImportRequest, 'replace'> {
  place: Place
  imported: ImportedBlobs
  onFault: OnFault
  onNote: OnFault
}

/** A manifest that came in, or why it did not. */
type Outcome = { mediaType: string; size: number } | 'incomplete'

const manifestsAtATime = 8
const tagsAtATime = 64

/** Manifests after all that they point to, then the tags, and last, of a mirror, the listings of what refers to others. */
export async function importRepository(
  options: ImportRepositoryOptions,
  repository: SourceRepository,
): Promise<void> {
  const { place, imported, sums, onFault, signal } = options
  const outcomes = new Map<Digest, Promise<Outcome>>()
  const referrers = new Map<Digest, Referrer['descriptor'][]>()
  const nameOf = (what: string) => `${place.repository}${what.includes(':') ? '@' : ':'}${what}`

  function manifest(digest: Digest): Promise<Outcome> {
    const known = outcomes.get(digest)
    if (known) return known
    const coming = takeManifest(digest).catch((error: unknown): Outcome => {
      if (!(error instanceof SourceFault)) throw error
      onFault(nameOf(digest), error.message)
      return 'incomplete'
    })
    outcomes.set(digest, coming)
    return coming
  }

  async function takeManifest(digest: Digest): Promise<Outcome> {
    signal.throwIfAborted()
    const { bytes, parsed } = await readManifest(options, digest)
    const lacking = await lackingOf(parsed)
    const hasChild = parsed.manifests.length === 0 || lacking.children < parsed.manifests.length
    if (lacking.faults.length > 0) {
      onFault(nameOf(digest), `is incomplete: ${lacking.faults.join('; ')}`)
      if (place.origin !== 'filled' && (lacking.blobs > 0 || !hasChild)) return 'incomplete'
    }
    const referrer = referrerOf(parsed, digest, bytes.length)
    if (!options.dry) await keepManifest(options, digest, parsed, bytes, { referrer })
    sums.manifests += 1
    if (referrer && place.origin === 'filled')
      referrers.set(referrer.subject, [...(referrers.get(referrer.subject) ?? []), referrer.descriptor])
    return { mediaType: parsed.mediaType, size: bytes.length }
  }

  /** Images of an index that were never there are none of its faults. */
  async function lackingOf({ manifests, blobs }: Manifest) {
    const lacking = { children: 0, blobs: 0, faults: [] as string[] }
    await eachOf(manifests, 1, async ({ digest }) => {
      const isThere = (await repository.holds(digest)) && (await exists(options, digest))
      if (isThere && (await manifest(digest)) !== 'incomplete') return
      lacking.children += 1
      if (isThere) lacking.faults.push(`its image ${digest} is`)
    })
    await eachOf(blobs, 4, async ({ digest, size }) => {
      try {
        if (!(await repository.holds(digest))) throw new SourceFault(notThere)
        await imported.take(place, digest, size)
      } catch (error) {
        if (!(error instanceof SourceFault)) throw error
        // A cache never had all of it.
        if (place.origin === 'filled' && error.message === notThere) return
        lacking.blobs += 1
        lacking.faults.push(`${digest} ${error.message}`)
      }
    })
    return lacking
  }

  async function tag({ tag: name, digest }: SourceRepository['tags'][number]): Promise<void> {
    if (!isTag(name)) return onFault(nameOf(name), 'is no tag')
    if (place.origin !== 'filled' && !mayShadow(place.project, name))
      return onFault(
        nameOf(name),
        `does not come in: shadow of project ${place.project.name} leaves it to upstream`,
      )
    if (!outcomes.has(digest))
      return options.onNote(nameOf(name), `stands for ${digest}, which is not in the repository`)
    const outcome = await manifest(digest)
    if (outcome === 'incomplete') return onFault(nameOf(name), `does not come in: ${digest} is incomplete`)
    if (await putTag(options, name, digest, outcome)) sums.tags += 1
  }

  async function furtherBlob(digest: Digest): Promise<void> {
    try {
      await imported.take(place, digest)
    } catch (error) {
      if (!(error instanceof SourceFault)) throw error
      onFault(nameOf(digest), reasonOf(error))
    }
  }

  await eachOf(repository.manifests, manifestsAtATime, async (digest) => void (await manifest(digest)))
  await eachOf(repository.tags, tagsAtATime, tag)
  if (place.origin !== 'filled') await eachOf(repository.blobs, manifestsAtATime, furtherBlob)
  if (options.dry) return
  await eachOf(referrers, 1, ([subject, found]) => putListing(options, subject, found))
}

async function exists({ source }: ImportRepositoryOptions, digest: Digest): Promise<boolean> {
  try {
    await pathInside(source, source.fileOf(digest))
    return true
  } catch {
    return false
  }
}

async function readManifest(
  { source }: ImportRepositoryOptions,
  digest: Digest,
): Promise<{ bytes: Buffer; parsed: Manifest }> {
  const bytes = await readSmall(source, source.fileOf(digest), maxManifestBytes)
  if (digestOf(bytes, algorithmOf(digest)) !== digest)
    throw new SourceFault('has other bytes than its digest says')
  try {
    return { bytes, parsed: parseManifest(bytes) }
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    throw new SourceFault(error.message, { cause: error })
  }
}

type Keeping = Pick<
  ImportRepositoryOptions,
  'place' | 'blobs' | 'metadata' | 'holds' | 'usage' | 'expect' | 'now' | 'dry' | 'replace' | 'onNote'
>

async function keepManifest(
  { place, blobs, metadata, holds, usage, expect }: Keeping,
  digest: Digest,
  { mediaType, manifests, blobs: layers }: Manifest,
  bytes: Buffer,
  { referrer, tag }: { referrer?: Referrer | undefined; tag?: { tag: Tag; checkedAt: number } },
): Promise<void> {
  const { repository, origin } = place
  usage.used(digest)
  using _hold = await holds.hold(digest)
  const link = await metadata.links.find(repository, digest)
  // What a mirror had here before may go; what is imported on purpose may not.
  const isLinked = link !== undefined && (origin === 'filled' || link.origin !== 'filled')
  const isHere = (await blobs.find(digest))?.size === bytes.length
  if (isLinked && isHere && !tag) return
  if (!isHere) {
    await expect(digest)
    await blobs.write(digest, bytes)
  }
  const children = [...manifests, ...layers]
  const said = { repository, digest, mediaType, size: bytes.length, children }
  if (origin === 'filled') await metadata.recordManifest({ ...said, origin, ...(tag && { tag }) })
  else await metadata.pushes.manifest({ ...said, tags: [], ...(referrer && { referrer }) })
}

/** @returns whether it stands for `digest` now */
async function putTag(
  { place, metadata, usage, now = Date.now, dry, replace, onNote }: Keeping,
  tag: Tag,
  digest: Digest,
  { mediaType, size }: Exclude<Outcome, 'incomplete'>,
): Promise<boolean> {
  const { repository, project, origin } = place
  const row = await metadata.tags.find(repository, tag)
  if (row) usage.used(row.digest)
  const isOwn = origin !== 'filled'
  // What is imported to where things are pushed goes before what upstream calls so.
  const isInWay = row !== undefined && (row.own === true || !isOwn)
  if (isInWay && row.digest === digest) return true
  if (isInWay && !replace) {
    onNote(
      `${repository}:${tag}`,
      `stands for ${row.digest} here and for ${digest} there; it stays (--replace)`,
    )
    return false
  }
  // Of a mirror it has just become too old: the next pull asks upstream, and it is there while upstream is not.
  const forMs = project.freshness.find((rule) => rule.tag(tag))?.forMs ?? 0
  const at = isOwn ? { checkedAt: now(), own: true as const } : { checkedAt: now() - forMs }
  if (!dry) await metadata.tags.put({ repository, tag, digest, mediaType, size, ...at })
  return true
}

async function putListing(
  options: ImportRepositoryOptions,
  subject: Digest,
  found: Referrer['descriptor'][],
) {
  const { place, metadata, onFault } = options
  const tag = listingTag(subject)
  // What upstream has said itself counts.
  if (await metadata.tags.find(place.repository, tag)) return
  const bytes = listingOf(found)
  if (bytes.length > maxManifestBytes)
    return onFault(`${place.repository}@${subject}`, 'too many manifests refer to it to be listed')
  const listing = { mediaType: mediaTypes.ociIndex, kind: 'index' as const, manifests: [], blobs: [] }
  await keepManifest(options, digestOf(bytes), listing, bytes, { tag: { tag, checkedAt: 0 } })
}
