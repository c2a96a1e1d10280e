import { fetchBlob } from '../../test/support/fetch-blob.ts'
import type { UpstreamProcess } from '../demo/upstream-process.ts'
import type { RunningServer } from './start-server.ts'

/** A layer and the image it is in, as a client names them. */
export interface Layer {
  repository: string
  tag: string
  manifest: string
  digest: string
  bytes: number
}

type Image = UpstreamProcess['images'][number]

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** @returns of an image of `upstream` its first layer */
export async function layerOf(upstream: string, image: Image | undefined): Promise<Layer> {
  if (!image) throw new Error('the upstream has not the image it was told to have')
  const { repository, tag, digest: manifest } = image
  const body = await whole(`${upstream}/v2/${repository}/manifests/${manifest}`, manifest)
  const { layers } = JSON.parse(body.toString()) as { layers: { digest: string; size: number }[] }
  const [layer] = layers
  if (!layer) throw new Error(`${repository}:${tag} has no layer`)
  return { repository, tag, manifest, digest: layer.digest, bytes: layer.size }
}

export function blobUrl({ url }: { url: string }, { repository, digest }: Layer): string {
  return `${url}/v2/${repository}/blobs/${digest}`
}

export function manifestUrl({ url }: { url: string }, { repository }: Layer, reference: string): string {
  return `${url}/v2/${repository}/manifests/${reference}`
}

/** Lets a server know the image, as every pull begins: some give a blob only to a repository that they know to have it. */
export async function readManifests(server: RunningServer, layer: Layer, signal: AbortSignal): Promise<void> {
  for (const reference of [layer.tag, layer.manifest])
    await whole(manifestUrl(server, layer, reference), layer.manifest, signal)
}

/** @throws unless it is all there and has this digest */
export async function whole(url: string, digest: string, signal?: AbortSignal): Promise<Buffer> {
  const headers = { Accept: `${manifestType}, */*` }
  const { status, complete, sha256, body } = await fetchBlob(url, {
    headers,
    keep: true,
    ...(signal && { signal }),
  })
  if (status !== 200 || !complete || sha256 !== digest)
    throw new Error(`${url}: status ${status}, ${complete ? 'whole' : 'broken off'}, ${sha256}`)
  return body
}
