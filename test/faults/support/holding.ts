import { digestOf } from '../../../src/oci/digest.ts'
import type { Pusher } from '../../support/hosted.ts'
import type { Content } from '../../support/images.ts'

/** What a repository holds. */
export interface Holding {
  readonly tags: Map<string, string>
  readonly manifests: Set<string>
  readonly blobs: Set<string>
  /** The same for the same. */
  text(): string
}

/** As `like`, to be changed. */
export function held(like?: Holding): Holding {
  const [tags, manifests, blobs] = [new Map(like?.tags), new Set(like?.manifests), new Set(like?.blobs)]
  const text = () =>
    JSON.stringify({ tags: [...tags].sort(), manifests: [...manifests].sort(), blobs: [...blobs].sort() })
  return { tags, manifests, blobs, text }
}

/**
 * Asks for everything that could be there.
 * @throws for bytes that are not those of their digest, and for answers that are neither 200 nor 404
 */
export async function observe(
  { send }: Pusher,
  repository: string,
  manifests: ReadonlyMap<string, Content>,
  blobs: ReadonlyMap<string, Content>,
): Promise<Holding> {
  const found = held()
  async function has(path: string): Promise<string | undefined> {
    const { status, body } = await send('GET', `/v2/${repository}/${path}`)
    if (status === 404) return undefined
    if (status !== 200) throw new Error(`${repository}/${path} is ${status}`)
    return digestOf(body)
  }
  async function look(kind: 'manifests' | 'blobs', digest: string): Promise<void> {
    const came = await has(`${kind}/${digest}`)
    if (came !== undefined && came !== digest) throw new Error(`${repository}/${kind}/${digest} is ${came}`)
    if (came !== undefined) found[kind].add(digest)
  }
  const listed = await send('GET', `/v2/${repository}/tags/list`)
  const names: string[] = listed.status === 200 ? JSON.parse(listed.body.toString()).tags : []
  for (const tag of names) found.tags.set(tag, String(await has(`manifests/${tag}`)))
  for (const digest of manifests.keys()) await look('manifests', digest)
  for (const digest of blobs.keys()) await look('blobs', digest)
  return found
}
