import type { Digest } from '../../oci/digest.ts'
import type { Descriptor, Manifest } from '../../oci/manifest.ts'
import type { Machine } from '../machine.ts'

export const clientNames = [
  'docker-old',
  'docker',
  'containerd-1',
  'containerd',
  'k3s',
  'podman',
  'crane',
] as const
export type ClientName = (typeof clientNames)[number]

/** One container client: what it says to a mirror, and what it does when the answer is bad. */
export interface Client {
  name: ClientName
  title: string
  /**
   * How it says what it wants. `mirror`: the name within docker.io and nothing else; `ns`: that, and the registry as `?ns=`;
   * `path`: behind the name of a project.
   */
  form: 'mirror' | 'ns' | 'path'
  userAgent: string
  /** Another connection for each request. */
  closes: boolean
  /** It logs in where it is asked to, as somebody or as nobody. */
  logsIn: boolean
  /** What follows a bad answer to each kind of request. */
  consequences: Readonly<Record<'ping' | 'manifest' | 'blob' | 'content', string>>
  /** Where it wants the authority of a door, for people. @param host with its port */
  wantsAuthorityIn(host: string): string
  /** The authorities that it is given for that door beside the system's. */
  authorities(machine: Machine, door: URL): Promise<Authorities>
  /** Its requests for an image, or those it begins with. Ends at the first mistake by throwing it. */
  play(talk: Talk, hasImage: boolean): Promise<void>
}

export interface Authorities {
  /** PEM. */
  pems: string[]
  /** In words: files that somebody has put where this client does not look. */
  misplaced: string[]
}

/** What a client can say. All of it throws {@link MistakeFound}. */
export interface Talk {
  ping(headers?: Headers): Promise<void>
  /** HEAD of what the image's tag stands for. @returns its digest */
  head(headers: Headers): Promise<Digest>
  /** @param reference absent: the image's own */
  manifest(headers: Headers, reference?: Digest): Promise<Manifest>
  /** Of an index the image for this machine, else the first one. */
  childOf(index: Manifest): Descriptor | undefined
  blob(descriptor: Descriptor, headers: Headers): Promise<Buffer>
  /** As after a connection that broke half way. @param whole what {@link blob} has brought */
  resume(descriptor: Descriptor, whole: Buffer, headers: Headers): Promise<void>
  /** What a registry that is not mirrored here is answered. */
  unknownRegistry(headers: Headers): Promise<void>
}

export type Headers = Readonly<Record<string, string | string[]>>

export function isIndex({ kind }: Manifest): boolean {
  return kind === 'index'
}

/** Index, image and config, each by its digest. @param headersFor what is sent for a media type */
export async function walk(
  talk: Talk,
  digest: Digest | undefined,
  headersFor: (mediaType: string | undefined) => Headers,
): Promise<Descriptor | undefined> {
  const top = await talk.manifest(headersFor(undefined), digest)
  const child = isIndex(top) ? talk.childOf(top) : undefined
  const image = child ? await talk.manifest(headersFor(child.mediaType), child.digest) : top
  return image.blobs[0]
}
