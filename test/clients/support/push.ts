import { blobsOf, type Content, type Image, type ImageIndex } from '../../support/images.ts'

/** Puts an index with all its images into `repository` of a registry that is open for writing. */
export async function pushIndex(
  registry: URL,
  repository: string,
  index: ImageIndex,
  tag: string,
): Promise<void> {
  for (const image of index.images) await pushImage(registry, repository, image)
  await putManifest(registry, repository, index.manifest, tag)
}

export async function pushImage(
  registry: URL,
  repository: string,
  image: Image,
  tag: string = image.manifest.digest,
): Promise<void> {
  for (const blob of blobsOf(image)) await pushBlob(registry, repository, blob)
  await putManifest(registry, repository, image.manifest, tag)
}

async function pushBlob(registry: URL, repository: string, { digest, bytes }: Content): Promise<void> {
  const opened = await send('POST', new URL(`/v2/${repository}/blobs/uploads/`, registry))
  const upload = new URL(opened.headers.get('location') ?? '', registry)
  upload.searchParams.set('digest', digest)
  await send('PUT', upload, { type: 'application/octet-stream', bytes })
}

async function putManifest(
  registry: URL,
  repository: string,
  { mediaType, bytes }: Content,
  tag: string,
): Promise<void> {
  await send('PUT', new URL(`/v2/${repository}/manifests/${tag}`, registry), { type: mediaType, bytes })
}

async function send(method: string, url: URL, body?: { type: string; bytes: Buffer }): Promise<Response> {
  const response = await fetch(url, {
    method,
    ...(body && { body: new Uint8Array(body.bytes), headers: { 'Content-Type': body.type } }),
  })
  const said = await response.text()
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${said}`)
  return response
}
