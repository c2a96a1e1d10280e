import { stringify } from 'yaml'
import { type Edge, type EdgeOptions, startEdge } from './edge.ts'
import { blobsOf, type Content, type Image, type ImageIndex } from './images.ts'

export const password = 'correct horse'

export function basic(name: string, word: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${name}:${word}`).toString('base64')}` }
}

export interface HostedOptions extends Omit<EdgeOptions, 'policies'> {
  /** Beside `team`, which is private, and `open`, which anybody may read. */
  more?: readonly object[]
}

/** A site that is pushed to. */
export function startHosted({ more = [], env, ...options }: HostedOptions = {}): Promise<Edge> {
  const documents = [
    { kind: 'project', name: 'team' },
    { kind: 'project', name: 'open', public: true },
    ...more,
  ]
  return startEdge({
    policies: { 'site.yaml': documents.map((each) => stringify(each)).join('---\n') },
    env: { OUTPORT_MIRROR_LISTEN: 'off', OUTPORT_ADMIN_PASSWORD: password, OUTPORT_SITE: 'branch', ...env },
    ...options,
  })
}

export interface Said {
  status: number
  headers: Headers
  body: Buffer
  /** Of the error that the body tells. */
  code: string | undefined
}

export interface SendOptions {
  headers?: Readonly<Record<string, string>>
  body?: Uint8Array | ReadableStream<Uint8Array>
}

/** A client of one site, who shows `headers` with every request. */
export interface Pusher {
  /** @param path below the site's root, or a `Location` */
  send(method: string, path: string, options?: SendOptions): Promise<Said>
  /** Where a new upload goes. */
  begin(repository: string, query?: string): Promise<string>
  pushBlob(repository: string, content: Pick<Content, 'digest' | 'bytes'>): Promise<Said>
  putManifest(repository: string, manifest: Content, reference?: string): Promise<Said>
  /** With its blobs. */
  pushImage(repository: string, image: Image, reference?: string): Promise<Said>
  pushIndex(repository: string, index: ImageIndex, reference?: string): Promise<Said>
}

export function createPusher(
  { url }: Pick<Edge, 'url'>,
  shown: Readonly<Record<string, string>> = basic('admin', password),
): Pusher {
  async function send(method: string, path: string, { headers, body }: SendOptions = {}): Promise<Said> {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { ...shown, ...headers },
      ...(body && { body: body as NonNullable<RequestInit['body']> }),
      ...(body instanceof ReadableStream && { duplex: 'half' as const }),
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    return { status: response.status, headers: response.headers, body: bytes, code: codeIn(bytes) }
  }
  async function begin(repository: string, query = ''): Promise<string> {
    const { status, headers, body } = await send('POST', `/v2/${repository}/blobs/uploads/${query}`)
    if (status !== 202) throw new Error(`an upload is answered ${status}: ${body}`)
    return headers.get('location') ?? ''
  }
  async function pushBlob(repository: string, { digest, bytes }: Pick<Content, 'digest' | 'bytes'>) {
    return send('PUT', `${await begin(repository)}&digest=${digest}`, { body: bytes })
  }
  function putManifest(
    repository: string,
    { mediaType, bytes, digest }: Content,
    reference: string = digest,
  ) {
    return send('PUT', `/v2/${repository}/manifests/${reference}`, {
      headers: { 'content-type': mediaType },
      body: bytes,
    })
  }
  async function pushImage(repository: string, image: Image, reference?: string): Promise<Said> {
    for (const blob of blobsOf(image)) {
      const { status, body } = await pushBlob(repository, blob)
      if (status !== 201) throw new Error(`a blob is answered ${status}: ${body}`)
    }
    return putManifest(repository, image.manifest, reference)
  }
  return {
    send,
    begin,
    pushBlob,
    putManifest,
    pushImage,
    async pushIndex(repository, { images, manifest }, reference) {
      for (const image of images) await pushImage(repository, image)
      return putManifest(repository, manifest, reference)
    },
  }
}

function codeIn(body: Buffer): string | undefined {
  try {
    return JSON.parse(body.toString()).errors[0].code
  } catch {
    return undefined
  }
}
