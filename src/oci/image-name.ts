import { isDigest } from './digest.ts'
import { isRepositoryName, isTag, type Reference, type RepositoryName } from './reference.ts'

/** An image as people write it. What its name means is for the site to say. */
export interface ImageName {
  /** The first component where it is a host's: `ghcr.io`, `localhost:5000`. */
  host?: string
  /** What follows it. */
  path: RepositoryName
  /** Absent where nothing was said; a digest goes before a tag. */
  reference?: Reference
}

export const anImage = 'an image such as nginx, library/nginx:1.27 or ghcr.io/org/app@sha256:…'

/** @throws SyntaxError */
export function parseImageName(text: string): ImageName {
  const wrong = () => new SyntaxError(`expected ${anImage}, found ${JSON.stringify(text.slice(0, 100))}`)
  const [tagged = '', digest, ...more] = text.split('@')
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1)
  const tag = colon === -1 ? undefined : tagged.slice(colon + 1)
  const name = colon === -1 ? tagged : tagged.slice(0, colon)
  if (more.length > 0 || (tag !== undefined && !isTag(tag)) || (digest !== undefined && !isDigest(digest)))
    throw wrong()
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(0, slash)).toLowerCase()
  const isHost =
    first === 'localhost' || /^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?$|^[a-z0-9-]+:\d+$/.test(first)
  const path = isHost ? name.slice(slash + 1) : name
  if (!isRepositoryName(path)) throw wrong()
  const reference: Reference | undefined =
    digest !== undefined ? { kind: 'digest', digest } : tag !== undefined ? { kind: 'tag', tag } : undefined
  return { ...(isHost && { host: first }), path, ...(reference && { reference }) }
}

/** `docker.io/library/nginx:1.27`, `docker.io/library/nginx@sha256:…` */
export function formatImageName(repository: RepositoryName, reference: Reference): string {
  return reference.kind === 'tag' ? `${repository}:${reference.tag}` : `${repository}@${reference.digest}`
}
