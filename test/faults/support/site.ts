import { type Edge, type EdgeOptions, mirrorPolicies, startEdge } from '../../support/edge.ts'
import { type Fetched, type FetchOptions, fetchBlob } from '../../support/fetch-blob.ts'
import type { Content, Image } from '../../support/images.ts'
import type { MirrorOverrides } from '../../support/mirror-policy.ts'
import { startUpstream, type Upstream, type UpstreamOptions } from '../../support/upstream.ts'

export const repository = 'library/app'

/** Tags are checked with upstream every time, so that its faults are met. */
export const neverFresh = { freshness: [{ tag: '**', for: '0s' }] }

export interface SiteOptions {
  image?: Image
  upstream?: UpstreamOptions
  policy?: MirrorOverrides | ((upstream: Upstream) => MirrorOverrides)
  edge?: Omit<EdgeOptions, 'policies'>
  env?: Readonly<Record<string, string>>
  /** The edge's data directory; default one of its own. */
  data?: string
}

/** An upstream and a real edge that mirrors it as docker.io. */
export interface FaultSite extends AsyncDisposable {
  readonly upstream: Upstream
  readonly edge: Edge
  /** `path` is what follows the repository; nothing is decoded or retried. */
  ask(path: string, options?: FetchOptions): Promise<Fetched>
  /** As a client that knows the manifest asks for a blob of it. */
  askBlob(blob: Content, options?: FetchOptions): Promise<Fetched>
  askTag(tag: string, options?: FetchOptions): Promise<Fetched>
}

/** With `image`, it is in {@link repository} under tag 1, and the edge already knows its manifest. */
export async function startSite(options: SiteOptions = {}): Promise<FaultSite> {
  await using owned = new AsyncDisposableStack()
  const upstream = owned.use(await startUpstream(options.upstream))
  const { policy, env = {}, data } = options
  const policies = mirrorPolicies(upstream, typeof policy === 'function' ? policy(upstream) : policy)
  const edge = owned.use(
    await startEdge({ policies, env, ...(data !== undefined && { data }), ...options.edge }),
  )
  const ask = (path: string, fetchOptions?: FetchOptions) =>
    fetchBlob(`${edge.url}/v2/${repository}/${path}`, { keep: true, ...fetchOptions })
  const site = {
    upstream,
    edge,
    ask,
    askBlob: (blob: Content, fetchOptions?: FetchOptions) =>
      ask(`blobs/${blob.digest}`, { keep: false, ...fetchOptions }),
    askTag: (tag: string, fetchOptions?: FetchOptions) => ask(`manifests/${tag}`, fetchOptions),
  }
  if (options.image) {
    upstream.addImage(repository, '1', options.image)
    const { status } = await site.askTag('1')
    if (status !== 200) throw new Error(`the manifest answers ${status}`)
    upstream.clear()
  }
  const held = owned.move()
  return { ...site, [Symbol.asyncDispose]: () => held.disposeAsync() }
}

/** The first layer. */
export function layerOf(image: Image): Content {
  const [layer] = image.layers
  if (!layer) throw new Error('an image without layers')
  return layer
}

/** What a client takes for an answer it may keep: every byte that was promised has come, with a good status. */
export function isWhole(answer: Fetched | undefined): boolean {
  return answer !== undefined && (answer.status === 200 || answer.status === 206) && answer.complete
}

/** The answer, or `undefined` when the connection ended before it had a status. */
export async function attempt(asking: Promise<Fetched>): Promise<Fetched | undefined> {
  try {
    return await asking
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ECONNRESET') return undefined
    throw error
  }
}
