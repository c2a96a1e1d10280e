import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { blobsOf, type Content, type Image } from '../../support/images.ts'

/** Puts an image into a folder as a distribution registry keeps it. */
export async function addToRegistryData(
  data: string,
  repository: string,
  image: Image,
  tag?: string,
): Promise<void> {
  for (const blob of blobsOf(image)) await addBlob(data, repository, blob)
  await addManifest(data, repository, image.manifest, tag)
}

export async function addManifest(
  data: string,
  repository: string,
  manifest: Content,
  tag?: string,
): Promise<void> {
  await put(blobFile(data, manifest.digest), manifest.bytes)
  await put(join(revisionFolder(data, repository, manifest.digest), 'link'), manifest.digest)
  if (tag !== undefined) await put(tagLink(data, repository, tag), manifest.digest)
}

export function tagLink(data: string, repository: string, tag: string): string {
  return join(repositoryFolder(data, repository), '_manifests/tags', tag, 'current/link')
}

export function revisionFolder(data: string, repository: string, digest: string): string {
  return join(repositoryFolder(data, repository), '_manifests/revisions', digest.replace(':', '/'))
}

/** Of the bytes of a digest. */
export function blobFile(data: string, digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(data, 'docker/registry/v2/blobs', algorithm, hex.slice(0, 2), hex, 'data')
}

export function repositoryFolder(data: string, repository: string): string {
  return join(data, 'docker/registry/v2/repositories', repository)
}

async function addBlob(data: string, repository: string, { digest, bytes }: Content): Promise<void> {
  await put(blobFile(data, digest), bytes)
  await put(join(repositoryFolder(data, repository), '_layers', digest.replace(':', '/'), 'link'), digest)
}

export async function put(file: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content)
}
