import { type Digest, isDigest } from './digest.ts'
import { RegistryError } from './error.ts'
import type { Platform } from './platform.ts'
import { topKeysOf } from './top-keys.ts'

/** image-spec, "OCI Content Descriptors": what this program uses of one. */
export interface Descriptor {
  mediaType: string
  digest: Digest
  /** Bytes. */
  size: number
  /** Where an index says it of one of its manifests. */
  platform?: Platform
}

/** What a manifest says of itself and of what it points to. The stored bytes are never made from this again. */
export interface Manifest {
  mediaType: string
  kind: 'image' | 'index'
  /** An index's manifests. */
  manifests: Descriptor[]
  /** An image's config and layers that a registry holds: no foreign (`urls`) layers. */
  blobs: Descriptor[]
  /** The manifest that it belongs to (image-spec, "subject"), and how it is shown among those that do. */
  refers?: { subject: Digest; artifactType?: string; annotations?: Record<string, unknown> }
}

/** Larger manifests are refused everywhere (distribution-spec: a registry SHOULD take at least 4 MiB). */
export const maxManifestBytes = 4 * 1024 * 1024

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const

const kinds: Readonly<Record<string, Manifest['kind']>> = {
  [mediaTypes.ociManifest]: 'image',
  [mediaTypes.dockerManifest]: 'image',
  [mediaTypes.ociIndex]: 'index',
  [mediaTypes.dockerList]: 'index',
}

/** The media types asked of an upstream: everything that can be kept. Schema 1 is not among them. */
export const acceptedManifests: readonly string[] = Object.keys(kinds)

/** What distribution-spec "Listing Referrers" answers where there are none. */
export const emptyIndex: Buffer = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] }),
)

/**
 * Reads a manifest's bytes. `contentType` is what its sender called it; the body's own `mediaType` must not contradict it.
 * @param isPushed its subject, if any, must be a descriptor; what upstream holds is taken as it is, as no image's part
 * @throws RegistryError `MANIFEST_INVALID` for what is no manifest, is ambiguous (CVE-2021-41190) or is schema 1.
 */
export function parseManifest(bytes: Uint8Array, contentType?: string, isPushed = false): Manifest {
  const body = jsonObjectOf(bytes, isPushed)
  const mediaType = mediaTypeOf(body, contentType?.split(';')[0]?.trim())
  const kind = kinds[mediaType]
  if (!kind) throw invalid(`media type ${mediaType} is not supported`)
  if (kind === 'index' && ('layers' in body || 'config' in body))
    throw invalid('an index with layers is ambiguous')
  if (kind === 'image' && 'manifests' in body) throw invalid('an image manifest with manifests is ambiguous')

  const manifests = kind === 'index' ? descriptorsOf(body.manifests, 'manifests').map(plain) : []
  const config = kind === 'image' ? descriptorOf(body.config, 'config') : undefined
  const layers =
    kind === 'image' ? descriptorsOf(body.layers, 'layers').filter((layer) => !layer.foreign) : []
  const subject = subjectOf(body.subject, isPushed)
  const refers = subject === undefined ? undefined : refersTo(subject, body, config)
  return {
    mediaType,
    kind,
    manifests,
    blobs: config ? [config, ...layers].map(plain) : [],
    ...(refers && { refers }),
  }
}

function subjectOf(value: unknown, isPushed: boolean): Digest | undefined {
  if (value === undefined || value === null) return undefined
  if (isPushed) return descriptorOf(value, 'subject').digest
  return isObject(value) && typeof value.digest === 'string' && isDigest(value.digest)
    ? value.digest
    : undefined
}

/** distribution-spec, "Listing Referrers": an image without an artifactType is of the type of its config. */
function refersTo(
  subject: Digest,
  { artifactType: said, annotations }: Record<string, unknown>,
  config: Descriptor | undefined,
): Manifest['refers'] {
  const artifactType = typeof said === 'string' && said !== '' ? said : config?.mediaType
  return {
    subject,
    ...(artifactType !== undefined && { artifactType }),
    ...(isObject(annotations) && { annotations }),
  }
}

function jsonObjectOf(bytes: Uint8Array, isPushed: boolean): Record<string, unknown> {
  if (bytes.length > maxManifestBytes) throw invalid(`larger than ${maxManifestBytes} bytes`)
  let body: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    if (isPushed) refuseAmbiguousKeys(text)
    body = JSON.parse(text)
  } catch (cause) {
    if (cause instanceof RegistryError) throw cause
    throw new RegistryError('MANIFEST_INVALID', { message: 'manifest invalid: not JSON', cause })
  }
  if (!isObject(body)) throw invalid('not a JSON object')
  return body
}

/** No manifest that means anything comes near it. */
const maxDepth = 100

/** Of a key that stands there twice some programs take the first and some the last, and those in Go take it in any case. */
function refuseAmbiguousKeys(text: string): void {
  const seen = new Set<string>()
  for (const key of topKeysOf(text, maxDepth)) {
    const meant = key.length > longestMeaningful ? undefined : meaningful.get(folded(key))
    if (meant === undefined) continue
    if (meant !== key)
      throw invalid(`${JSON.stringify(key)} is taken for ${meant} by some, and not by others`)
    if (seen.has(key)) throw invalid(`${key} stands there twice`)
    seen.add(key)
  }
}

/** As Unicode folds letters that differ in case alone: `ſ` is an `s`, the Kelvin sign a `k`. */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase()
}

const meaningfulKeys =
  'schemaVersion mediaType artifactType config layers manifests subject annotations'.split(' ')
const meaningful: ReadonlyMap<string, string> = new Map(meaningfulKeys.map((key) => [folded(key), key]))
const longestMeaningful = Math.max(...meaningfulKeys.map(({ length }) => length))

/** Layers of these types are not to be pushed (image-spec, "Non-distributable layers"). */
export function isNondistributable({ mediaType }: Descriptor): boolean {
  return /\.nondistributable\.|\.rootfs\.foreign\./.test(mediaType)
}

function mediaTypeOf(body: Record<string, unknown>, contentType: string | undefined): string {
  const known = contentType !== undefined && contentType in kinds ? contentType : undefined
  if (typeof body.mediaType === 'string') {
    if (known !== undefined && known !== body.mediaType) {
      throw invalid(`its mediaType is ${body.mediaType}, but it was sent as ${known}`)
    }
    return body.mediaType
  }
  if (known !== undefined) return known
  if (body.schemaVersion !== 2) throw invalid('schemaVersion is not 2')
  // image-spec lets an OCI manifest leave `mediaType` out; then its shape decides.
  return 'manifests' in body ? mediaTypes.ociIndex : mediaTypes.ociManifest
}

function descriptorsOf(value: unknown, field: string): (Descriptor & { foreign: boolean })[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw invalid(`${field} is not a list`)
  return value.map((each, index) => descriptorOf(each, `${field}[${index}]`))
}

function descriptorOf(value: unknown, field: string): Descriptor & { foreign: boolean } {
  if (!isObject(value)) throw invalid(`${field} is not a descriptor`)
  const { mediaType, digest, size } = value
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${field}.digest is not a digest`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(`${field}.size is not a size`)
  return {
    mediaType: typeof mediaType === 'string' ? mediaType : 'application/octet-stream',
    digest,
    size,
    foreign: Array.isArray(value.urls) && value.urls.length > 0,
    ...platformOf(value.platform),
  }
}

function platformOf(value: unknown): Pick<Descriptor, 'platform'> {
  if (!isObject(value)) return {}
  const { os, architecture, variant } = value
  if (typeof os !== 'string' || typeof architecture !== 'string') return {}
  return { platform: { os, architecture, ...(typeof variant === 'string' && { variant }) } }
}

function plain({ mediaType, digest, size, platform }: Descriptor): Descriptor {
  return { mediaType, digest, size, ...(platform && { platform }) }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(reason: string): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message: `manifest invalid: ${reason}` })
}
