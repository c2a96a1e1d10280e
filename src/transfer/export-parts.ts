import { once } from 'node:events'
import type { Usage } from '../jobs/usage.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { formatImageName, parseImageName } from '../oci/image-name.ts'
import { type Descriptor, parseManifest } from '../oci/manifest.ts'
import { hasWildcards, parsePattern } from '../oci/pattern.ts'
import { aPlatform, isForPlatform, type Platform, parsePlatform } from '../oci/platform.ts'
import { isTag, parseTag, type Reference, type RepositoryName } from '../oci/reference.ts'
import type { Referrer } from '../oci/referrer.ts'
import { targetOfImage } from '../projects/named.ts'
import { ownerOf, type Site } from '../projects/project.ts'
import type { LocalSource, StoredManifest } from '../resolve/local.ts'
import { listingOf as listingTag } from '../resolve/referrers.ts'

export interface PartsRequest {
  /** Names, or patterns such as `team/**:*`. */
  images: string[]
  /** Of indexes; none: all that are wanted. */
  platforms: string[]
  /** What refers to them, too. */
  referrers: boolean
}

export type PartsEvent =
  | ImageParts
  /** That was all. What was named stays where it is until the caller leaves. */
  | { kind: 'ready' }

/** One image as it stands here. */
export interface ImageParts {
  kind: 'image'
  image: string
  repository: RepositoryName
  tag?: string
  /** It can be fetched from an upstream. */
  isMirror: boolean
  /** Absent: not even its manifest is here. */
  root?: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>
  parts: { digest: Digest; size: number }[]
  missing: Digest[]
  referrers: Referrer[]
}

export interface PartsOptions {
  site(): Site
  /** The default mirror's project. */
  mirror: string
  metadata: Metadata
  local: LocalSource
  usage: Pick<Usage, 'reading'>
}

const pageRows = 1000

/** Of what images consist, for one who reads their bytes from the disk. @throws SyntaxError for what names no image */
export async function* partsOf(
  options: PartsOptions,
  request: PartsRequest,
  signal: AbortSignal,
): AsyncGenerator<PartsEvent, void> {
  using held = new DisposableStack()
  const platforms = request.platforms.map(platformOf)
  for (const text of request.images) {
    for await (const { repository, reference } of namedBy(options, text)) {
      signal.throwIfAborted()
      const image = await imageOf(options, repository, reference, platforms, request.referrers)
      for (const { digest } of image.parts) held.use(options.usage.reading(digest))
      yield image
    }
  }
  yield { kind: 'ready' }
  if (!signal.aborted) await once(signal, 'abort')
}

function platformOf(text: string): Platform {
  try {
    return parsePlatform(text)
  } catch (cause) {
    throw new SyntaxError(`expected ${aPlatform}, found ${JSON.stringify(text.slice(0, 100))}`, { cause })
  }
}

interface Named {
  repository: RepositoryName
  reference: Reference
}

async function* namedBy({ site, mirror, metadata }: PartsOptions, text: string): AsyncGenerator<Named> {
  if (!hasWildcards(text)) {
    const name = parseImageName(text)
    const { reference = { kind: 'tag', tag: parseTag('latest') } } = name
    yield { repository: targetOfImage(site(), mirror, name).repository, reference }
    return
  }
  const colon = text.indexOf(':', text.lastIndexOf('/') + 1)
  const isWanted = parsePattern(colon === -1 ? text : text.slice(0, colon))
  const isTagWanted = parsePattern(colon === -1 ? '*' : text.slice(colon + 1))
  let found = false
  for (
    let page = await metadata.tags.all(undefined, pageRows);
    ;
    page = await metadata.tags.all(page.at(-1), pageRows)
  ) {
    for (const { repository, tag } of page) {
      if (!isTag(tag) || !isWanted(repository) || !isTagWanted(tag)) continue
      found = true
      yield { repository, reference: { kind: 'tag', tag } }
    }
    if (page.length < pageRows) break
  }
  if (!found) throw new SyntaxError(`no image here is named as ${text}`)
}

async function imageOf(
  options: PartsOptions,
  repository: RepositoryName,
  reference: Reference,
  platforms: readonly Platform[],
  withReferrers: boolean,
): Promise<ImageParts> {
  const { metadata, local, site } = options
  const tag = reference.kind === 'tag' ? reference.tag : undefined
  const digest =
    reference.kind === 'tag'
      ? (await metadata.tags.find(repository, reference.tag))?.digest
      : reference.digest
  const root = digest && (await local.manifest(repository, digest))
  const walk = createWalk(options, repository, platforms, withReferrers)
  if (root) await walk.manifest(root)
  const { parts, missing, referrers } = walk
  return {
    ...{ kind: 'image', image: formatImageName(repository, reference), repository },
    ...(tag !== undefined && { tag }),
    isMirror: ownerOf(site(), repository)?.registry !== undefined,
    ...(root && { root: { mediaType: root.mediaType, digest: root.digest, size: root.size } }),
    parts: [...parts].map(([each, size]) => ({ digest: each, size })),
    ...{ missing: [...missing], referrers },
  }
}

function createWalk(
  { local, metadata, site }: PartsOptions,
  repository: RepositoryName,
  platforms: readonly Platform[],
  withReferrers: boolean,
) {
  const parts = new Map<Digest, number>()
  const missing = new Set<Digest>()
  const referrers: Referrer[] = []
  const isMirror = ownerOf(site(), repository)?.registry !== undefined

  async function manifest({ digest, size, bytes, mediaType }: StoredManifest): Promise<void> {
    if (parts.has(digest)) return
    parts.set(digest, size)
    const { manifests, blobs } = parseManifest(bytes, mediaType)
    const mayLack = !isMirror || (await local.isKept(repository, digest))
    let taken = 0
    for (const child of manifests.filter(({ platform }) => isWanted(platform, platforms))) {
      const found = await local.manifest(repository, child.digest)
      if (found) taken += 1
      if (found) await manifest(found)
      // What was pushed here without it is whole as it is.
      else if (!mayLack) missing.add(child.digest)
    }
    if (manifests.length > 0 && taken === 0 && missing.size === 0) throw nothingOf(repository, platforms)
    for (const blob of blobs) {
      const found = await local.blob(repository, blob.digest)
      if (found) parts.set(blob.digest, found.size)
      else missing.add(blob.digest)
    }
    if (withReferrers) await referrersOf(digest)
  }

  /** As upstream has said it last. */
  async function listed(subject: Digest) {
    const row = await metadata.tags.find(repository, listingTag(subject))
    const listing = row && (await local.manifest(repository, row.digest))
    const { manifests = [] } = listing ? JSON.parse(listing.bytes.toString('utf8')) : {}
    return manifests
  }

  async function pushed(subject: Digest) {
    const found: { digest: Digest; descriptor: string }[] = []
    for (;;) {
      const after = found.at(-1)?.digest
      const page = await metadata.pushes.referrers(repository, subject, undefined, after, pageRows)
      found.push(...page)
      if (page.length < pageRows) return found.map(({ descriptor }) => JSON.parse(descriptor))
    }
  }

  async function referrersOf(subject: Digest): Promise<void> {
    const seen = new Set<Digest>()
    const all = [...(await pushed(subject)), ...(isMirror ? await listed(subject) : [])]
    for (const descriptor of all) {
      if (typeof descriptor?.digest !== 'string' || !isDigest(descriptor.digest)) continue
      if (seen.has(descriptor.digest)) continue
      seen.add(descriptor.digest)
      const found = await local.manifest(repository, descriptor.digest)
      if (!found) {
        missing.add(descriptor.digest)
        continue
      }
      referrers.push({ subject, descriptor })
      await manifest(found)
    }
  }
  return { parts, missing, referrers, manifest }
}

function isWanted(platform: Platform | undefined, platforms: readonly Platform[]): boolean {
  if (platforms.length === 0) return true
  return platform !== undefined && platforms.some((each) => isForPlatform(platform, each))
}

function nothingOf(repository: RepositoryName, platforms: readonly Platform[]): Error {
  const said =
    platforms.length === 0
      ? 'none of its images is here'
      : 'it has no image for the platforms that were named'
  return new SyntaxError(`${repository}: ${said}`)
}
