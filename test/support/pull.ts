import { type Fetched, type FetchOptions, fetchBlob } from './fetch-blob.ts'

export interface PullOptions extends Pick<FetchOptions, 'headers' | 'ca' | 'agent' | 'signal'> {
  /** Default linux/amd64. */
  platform?: string
  /** Sent as `?ns=` with every request. */
  ns?: string
}

export type PullStepKind = 'head' | 'manifest' | 'config' | 'layer'

export interface PullStep extends Pick<Fetched, 'headers' | 'bytes' | 'ms' | 'firstByteMs'> {
  kind: PullStepKind
  digest: string
}

export interface Pulled {
  /** What the reference stood for. */
  digest: string
  /** Config and layers, in the manifest's order. */
  blobs: string[]
  /** Of manifests and blobs. */
  bytes: number
  ms: number
  /** From the start until the first layer's status was there. */
  firstLayerMs: number
  steps: PullStep[]
}

interface Descriptor {
  mediaType?: string
  digest: string
  size: number
  platform?: { os: string; architecture: string; variant?: string }
}

interface ManifestBody {
  config?: Descriptor
  layers?: Descriptor[]
  manifests?: Descriptor[]
}

const manifestTypes = [
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
]
const parallelLayers = 3

/**
 * Pulls an image as dockerd does: HEAD of the reference, then everything by digest, three layers at a time; hashes all.
 * @throws on any status but 200, a short body, a manifest of no known type, and bytes that are not the digest's or the size's.
 */
export async function pull(
  baseUrl: string,
  repository: string,
  reference: string,
  options: PullOptions = {},
): Promise<Pulled> {
  const startedAt = performance.now()
  const source = createSource(`${baseUrl}/v2/${repository}`, options)
  const digest = await source.head(reference)
  const top = await source.manifest({ digest })
  const image = top.manifests ? await source.manifest(chosen(top.manifests, options.platform)) : top
  const { config, layers = [] } = image
  if (!config) throw new Error(`${repository}:${reference}: neither an image nor an index`)

  await source.blob('config', config)
  const untilLayersMs = performance.now() - startedAt
  const queue = layers.values()
  async function work(): Promise<void> {
    for (const layer of queue) await source.blob('layer', layer)
  }
  await Promise.all(Array.from({ length: parallelLayers }, work))

  const { steps } = source
  const firstLayer = Math.min(
    ...steps.filter(({ kind }) => kind === 'layer').map(({ firstByteMs }) => firstByteMs),
  )
  return {
    digest,
    blobs: [config, ...layers].map((each) => each.digest),
    bytes: steps.reduce((total, { bytes }) => total + bytes, 0),
    ms: performance.now() - startedAt,
    firstLayerMs: untilLayersMs + firstLayer,
    steps,
  }
}

interface Source {
  readonly steps: PullStep[]
  head(reference: string): Promise<string>
  manifest(descriptor: { digest: string; size?: number; mediaType?: string }): Promise<ManifestBody>
  blob(kind: PullStepKind, descriptor: Descriptor): Promise<void>
}

function createSource(root: string, { ns, platform: _, headers: own, ...common }: PullOptions): Source {
  const query = ns === undefined ? '' : `?ns=${encodeURIComponent(ns)}`
  const steps: PullStep[] = []

  async function get(path: string, options: FetchOptions): Promise<Fetched> {
    const url = `${root}/${path}${query}`
    const fetched = await fetchBlob(url, { ...common, ...options, headers: { ...own, ...options.headers } })
    if (fetched.status !== 200) throw new Error(`${options.method ?? 'GET'} ${url}: status ${fetched.status}`)
    if (!fetched.complete)
      throw new Error(`${url}: cut after ${fetched.bytes} bytes`, { cause: fetched.error })
    return fetched
  }

  function note(kind: PullStepKind, digest: string, { headers, bytes, ms, firstByteMs }: Fetched): void {
    steps.push({ kind, digest, headers, bytes, ms, firstByteMs })
  }

  return {
    steps,
    async head(reference) {
      const headers = { Accept: [...manifestTypes, '*/*'].join(', ') }
      const fetched = await get(`manifests/${reference}`, { method: 'HEAD', headers })
      const digest = fetched.headers['docker-content-digest']
      if (typeof digest !== 'string') throw new Error(`${reference}: no Docker-Content-Digest`)
      note('head', digest, fetched)
      return digest
    },
    async manifest({ digest, size, mediaType }) {
      const headers = { Accept: mediaType === undefined ? manifestTypes.join(', ') : `${mediaType}, */*` }
      const fetched = await get(`manifests/${digest}`, { headers, keep: true })
      const type = fetched.headers['content-type'] ?? 'nothing'
      if (!manifestTypes.includes(type)) throw new Error(`${digest}: a manifest of type ${type}`)
      prove(digest, size, fetched)
      note('manifest', digest, fetched)
      return JSON.parse(fetched.body.toString())
    },
    async blob(kind, { digest, size, mediaType }) {
      const fetched = await get(`blobs/${digest}`, { headers: { Accept: `${mediaType}, */*` } })
      prove(digest, size, fetched)
      note(kind, digest, fetched)
    },
  }
}

function prove(digest: string, size: number | undefined, fetched: Fetched): void {
  if (size !== undefined && fetched.bytes !== size)
    throw new Error(`${digest}: ${fetched.bytes} bytes, not ${size}`)
  const came = digest.startsWith('sha512:') ? fetched.sha512 : fetched.sha256
  if (came !== digest) throw new Error(`${digest}: wrong bytes, they are ${came}`)
}

function chosen(manifests: readonly Descriptor[], wanted = 'linux/amd64'): Descriptor {
  const found = manifests.find(({ platform }) => {
    const { os = '', architecture = '', variant } = platform ?? {}
    return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/') === wanted
  })
  if (!found) throw new Error(`no manifest for ${wanted}`)
  return found
}
