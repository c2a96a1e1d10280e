import { gzipSync } from 'node:zlib'
import { type Digest, type DigestAlgorithm, digestOf } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { pseudoRandomBytes } from './pseudo-random.ts'
import { tarOf } from './tar.ts'

/** Bytes with the name and type under which a registry holds them. */
export interface Content {
  readonly mediaType: string
  readonly digest: Digest
  readonly bytes: Buffer
}

export interface Image {
  readonly manifest: Content
  readonly config: Content
  readonly layers: readonly Content[]
  /** `os/architecture[/variant]`. */
  readonly platform: string
}

export interface ImageIndex {
  readonly manifest: Content
  readonly images: readonly Image[]
}

export type ImageFormat = 'oci' | 'docker'

export interface ImageOptions {
  /** Bytes of the one file in each layer; the blob is a little larger. */
  layers: readonly number[]
  platform?: string
  format?: ImageFormat
  /** The same options and seed give the same image. */
  seed?: string
  compression?: 'gzip' | 'none'
  algorithms?: { blobs?: DigestAlgorithm; manifest?: DigestAlgorithm }
}

const typesOf = {
  oci: {
    manifest: mediaTypes.ociManifest,
    index: mediaTypes.ociIndex,
    config: 'application/vnd.oci.image.config.v1+json',
    layer: {
      gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
      none: 'application/vnd.oci.image.layer.v1.tar',
    },
  },
  docker: {
    manifest: mediaTypes.dockerManifest,
    index: mediaTypes.dockerList,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: {
      gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
      none: 'application/vnd.docker.image.rootfs.diff.tar',
    },
  },
} as const

/** An image that real clients can unpack: every layer is an archive with one file of pseudo-random bytes. */
export function buildImage(options: ImageOptions): Image {
  const {
    layers: sizes,
    platform = 'linux/amd64',
    format = 'oci',
    seed = 'image',
    compression = 'gzip',
  } = options
  const { blobs = 'sha256', manifest: manifestAlgorithm = 'sha256' } = options.algorithms ?? {}
  const types = typesOf[format]

  const archives = sizes.map((size, at) => archiveOf(size, `${seed} ${platform} ${at}`, at))
  const layers = archives.map((archive) =>
    contentOf(types.layer[compression], compression === 'gzip' ? gzip(archive) : archive, blobs),
  )
  const config = contentOf(types.config, json(configOf(platform, archives)), blobs)
  const body = {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: descriptorOf(config),
    layers: layers.map(descriptorOf),
  }
  return { manifest: contentOf(types.manifest, json(body), manifestAlgorithm), config, layers, platform }
}

export function buildIndex(
  entries: readonly { image: Image; platform?: string }[],
  options: { format?: ImageFormat; algorithm?: DigestAlgorithm } = {},
): ImageIndex {
  const { format = 'oci', algorithm } = options
  const mediaType = typesOf[format].index
  const manifests = entries.map(({ image, platform = image.platform }) => ({
    ...descriptorOf(image.manifest),
    platform: platformOf(platform),
  }))
  const manifest = contentOf(mediaType, json({ schemaVersion: 2, mediaType, manifests }), algorithm)
  return { manifest, images: entries.map(({ image }) => image) }
}

/** An artifact (a signature, an SBOM) that points to `subject`. */
export function buildReferrer(options: { subject: Content; artifactType: string; bytes: Uint8Array }): Image {
  const config = contentOf('application/vnd.oci.empty.v1+json', Buffer.from('{}'))
  const layer = contentOf('application/octet-stream', Buffer.from(options.bytes))
  const body = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: options.artifactType,
    config: descriptorOf(config),
    layers: [descriptorOf(layer)],
    subject: descriptorOf(options.subject),
  }
  return {
    manifest: contentOf(mediaTypes.ociManifest, json(body)),
    config,
    layers: [layer],
    platform: 'unknown',
  }
}

export function contentOf(mediaType: string, bytes: Buffer, algorithm?: DigestAlgorithm): Content {
  return { mediaType, bytes, digest: digestOf(bytes, algorithm) }
}

/** Config and layers. */
export function blobsOf(image: Image): readonly Content[] {
  return [image.config, ...image.layers]
}

/** Bytes of all blobs, each counted once: what a cold pull costs upstream. */
export function blobBytesOf(image: Image): number {
  const sizes = new Map(blobsOf(image).map(({ digest, bytes }) => [digest, bytes.length]))
  return [...sizes.values()].reduce((total, size) => total + size, 0)
}

function archiveOf(size: number, seed: string, at: number): Buffer {
  return tarOf([{ name: `layer-${at}.bin`, bytes: pseudoRandomBytes(size, seed) }])
}

/** Stored, not deflated: the content does not compress, and a gigabyte would take half a minute. */
function gzip(archive: Buffer): Buffer {
  return gzipSync(archive, { level: 0, chunkSize: 1024 * 1024 })
}

function configOf(platform: string, archives: readonly Buffer[]): object {
  const created = '1970-01-01T00:00:00Z'
  return {
    created,
    ...platformOf(platform),
    config: { Cmd: ['/layer-0.bin'] },
    rootfs: { type: 'layers', diff_ids: archives.map((archive) => digestOf(archive)) },
    history: archives.map((_, at) => ({ created, created_by: `layer ${at}` })),
  }
}

function platformOf(platform: string): { os: string; architecture: string; variant?: string } {
  const [os = '', architecture = '', variant] = platform.split('/')
  return { architecture, os, ...(variant !== undefined && { variant }) }
}

function descriptorOf({ mediaType, digest, bytes }: Content): {
  mediaType: string
  digest: Digest
  size: number
} {
  return { mediaType, digest, size: bytes.length }
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}
