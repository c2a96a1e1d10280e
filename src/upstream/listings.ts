import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { emptyIndex, maxManifestBytes, mediaTypes, parseManifest } from '../oci/manifest.ts'
import { isTag, parseTag, type RepositoryName } from '../oci/reference.ts'
import { contentTypeOf, readWhole } from './answer.ts'
import type { AskUpstream } from './ask.ts'
import { oneOf } from './failure.ts'
import { getManifest } from './manifests.ts'
import { type TagList, type TagPage, UpstreamError } from './registry-client.ts'

const maxListBytes = 4 * 1024 * 1024
const maxReferrerPages = 50

export async function listTags(
  ask: AskUpstream,
  bodyMs: number,
  repository: RepositoryName,
  { n, last }: TagPage,
  signal: AbortSignal,
): Promise<TagList> {
  const query = new URLSearchParams()
  if (n !== undefined) query.set('n', String(n))
  if (last !== undefined) query.set('last', last)
  const path = query.size > 0 ? `tags/list?${query}` : 'tags/list'
  return ask(
    { kind: 'tags', method: 'GET', repository, path, headers: { accept: 'application/json' } },
    signal,
    async (answer) => {
      const bytes = await readWhole(answer, { bytes: maxListBytes, ms: bodyMs }, signal)
      const tags = tagsOf(bytes, answer.url.host)
      const next = nextOf(oneOf(answer.headers.link), answer.url, tags)
      return next === undefined ? { tags } : { tags, last: next }
    },
  )
}

function tagsOf(bytes: Buffer, host: string): string[] {
  let body: unknown
  try {
    body = JSON.parse(bytes.toString())
  } catch (cause) {
    throw new UpstreamError('lying', `${host}: its list of tags is not JSON`, { cause })
  }
  const tags = typeof body === 'object' && body !== null && 'tags' in body ? body.tags : undefined
  // Some registries say null for a repository without tags.
  if (tags === null) return []
  if (!Array.isArray(tags)) throw new UpstreamError('lying', `${host}: its list of tags is none`)
  return tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag))
}

/**
 * What to send as `last` for the page after this one: distribution-spec, "Listing Tags". A link that pages by other
 * means (Quay's `next_page`) still says that there is more; then it goes on after the last tag.
 */
function nextOf(link: string | undefined, page: URL, tags: readonly string[]): string | undefined {
  const target = nextLink(link)
  if (target === undefined) return undefined
  const last = URL.parse(target, page)?.searchParams.get('last')
  return last && isTag(last) ? last : tags.at(-1)
}

function nextLink(link: string | undefined): string | undefined {
  return link && /<([^>]*)>\s*;[^,]*\brel\s*=\s*"?next\b/i.exec(link)?.[1]
}

export async function listReferrers(
  ask: AskUpstream,
  bodyMs: number,
  repository: RepositoryName,
  digest: Digest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await allReferrers(ask, bodyMs, repository, digest, signal)
  } catch (error) {
    if (!isAbsent(error)) throw error
  }
  try {
    // distribution-spec, "Referrers Tag Schema": the hash is cut to 64 characters.
    const tag = parseTag(`${algorithmOf(digest)}-${hexOf(digest).slice(0, 64)}`)
    const { bytes, mediaType } = await getManifest(ask, bodyMs, repository, { kind: 'tag', tag }, signal)
    return index(bytes, mediaType, repository)
  } catch (error) {
    if (!isAbsent(error)) throw error
    return emptyIndex
  }
}

/** The first page as it is, or all of them as one index. */
async function allReferrers(
  ask: AskUpstream,
  bodyMs: number,
  repository: RepositoryName,
  digest: Digest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const pages: Buffer[] = []
  let query: string | undefined = ''
  while (query !== undefined && pages.length < maxReferrerPages) {
    const path: string = `referrers/${digest}${query}`
    const headers = { accept: mediaTypes.ociIndex }
    query = await ask(
      { kind: 'referrers', method: 'GET', repository, path, headers },
      signal,
      async (answer) => {
        const bytes = await readWhole(answer, { bytes: maxManifestBytes, ms: bodyMs }, signal)
        pages.push(index(bytes, contentTypeOf(answer), answer.url.host))
        const target = nextLink(oneOf(answer.headers.link))
        return target === undefined ? undefined : URL.parse(target, answer.url)?.search
      },
    )
  }
  const [first = emptyIndex, ...others] = pages
  if (query !== undefined) throw new UpstreamError('lying', `${repository}: its referrers have no end`)
  if (others.length === 0) return first
  const manifests = pages.flatMap((page) => JSON.parse(page.toString()).manifests ?? [])
  return Buffer.from(JSON.stringify({ ...JSON.parse(first.toString()), manifests }))
}

function index(bytes: Buffer, contentType: string | undefined, host: string): Buffer {
  try {
    if (parseManifest(bytes, contentType).kind === 'index') return bytes
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
  }
  throw new UpstreamError('lying', `${host}: its referrers are no index`)
}

function isAbsent(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind === 'absent'
}
