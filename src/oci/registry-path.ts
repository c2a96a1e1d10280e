import { type Digest, parseDigest } from './digest.ts'
import { RegistryError } from './error.ts'
import { parseReference, parseRepositoryName, type Reference, type RepositoryName } from './reference.ts'

/** What a path below `/v2/` names. `name` is as the client said it: what it means depends on the door it came in by. */
export type RegistryPath =
  | { kind: 'base' }
  | { kind: 'catalog' }
  | { kind: 'manifest'; name: RepositoryName; reference: Reference }
  | { kind: 'blob'; name: RepositoryName; digest: Digest }
  | { kind: 'tags'; name: RepositoryName }
  | { kind: 'referrers'; name: RepositoryName; digest: Digest }
  /** Without `id`: where uploads begin. */
  | { kind: 'upload'; name: RepositoryName; id?: string }

/**
 * Reads a raw request path, nothing decoded or normalised, from its right end, since names hold slashes.
 * A name is never decoded, so `%2F` in it is an error; what stands after it may be (`sha256%3A…`).
 * @returns `undefined` for a path that is none of the distribution API's
 * @throws RegistryError `NAME_INVALID`, `DIGEST_INVALID`, `TAG_INVALID`
 */
export function parseRegistryPath(path: string): RegistryPath | undefined {
  if (path === '/v2' || path === '/v2/') return { kind: 'base' }
  if (!path.startsWith('/v2/')) return undefined
  if (path === '/v2/_catalog') return { kind: 'catalog' }

  const segments = path.slice('/v2/'.length).split('/')
  const last = segments.at(-1) ?? ''
  const nameBefore = (count: number) => parseRepositoryName(segments.slice(0, -count).join('/'))
  if (segments.length >= 4 && segments.at(-3) === 'blobs' && segments.at(-2) === 'uploads') {
    return { kind: 'upload', name: nameBefore(3), ...(last !== '' && { id: last }) }
  }
  if (segments.length < 3) return undefined
  switch (segments.at(-2)) {
    case 'manifests':
      return { kind: 'manifest', name: nameBefore(2), reference: parseReference(decoded(last)) }
    case 'blobs':
      if (last === 'uploads') return { kind: 'upload', name: nameBefore(2) }
      return { kind: 'blob', name: nameBefore(2), digest: parseDigest(decoded(last)) }
    case 'referrers':
      return { kind: 'referrers', name: nameBefore(2), digest: parseDigest(decoded(last)) }
    case 'tags':
      return last === 'list' ? { kind: 'tags', name: nameBefore(2) } : undefined
    default:
      return undefined
  }
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw new RegistryError('TAG_INVALID', { cause, detail: { tag: segment.slice(0, 160) } })
  }
}
