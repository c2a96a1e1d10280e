import { type HttpContext, signalOf } from '../http/context.ts'
import { RegistryError } from '../oci/error.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { parseTag } from '../oci/reference.ts'
import type { RegistryPath } from '../oci/registry-path.ts'
import type { Target } from '../projects/locate.ts'
import type { Listings } from '../resolve/listings.ts'
import type { ResolvedRepository } from '../resolve/repository.ts'
import type { TagPage } from '../upstream/registry-client.ts'
import { provenanceHeaders } from './provenance.ts'

const maxPage = 1000

/** distribution-spec "Listing Tags". */
export function createTagsHandler(listings: Listings, resolved: (target: Target) => ResolvedRepository) {
  return async (c: HttpContext, target: Target, { name }: Extract<RegistryPath, { kind: 'tags' }>) => {
    const page = pageOf(c)
    const { tags, last, ...provenance } =
      page.n === 0
        ? { tags: [], last: undefined, source: 'hit' as const }
        : await listings.tags(resolved(target), page, signalOf(c))
    c.set('cache', provenance.source)
    const link = last !== undefined && { link: nextLink(c, name, page.n, last) }
    return json(
      c,
      { name, tags },
      { 'content-type': 'application/json', ...link, ...provenanceHeaders(provenance) },
    )
  }
}

/** distribution-spec "Listing Referrers"; the filter is applied here, whatever upstream does. */
export function createReferrersHandler(listings: Listings, resolved: (target: Target) => ResolvedRepository) {
  return async (c: HttpContext, target: Target, { digest }: Extract<RegistryPath, { kind: 'referrers' }>) => {
    const { bytes, ...provenance } = await listings.referrers(resolved(target), digest, signalOf(c))
    c.set('cache', provenance.source)
    const artifactType = c.req.query('artifactType')
    const headers = { 'content-type': mediaTypes.ociIndex, ...provenanceHeaders(provenance) }
    const index: { manifests?: { artifactType?: string }[] } = JSON.parse(bytes.toString())
    if (artifactType === undefined) return json(c, index, headers)
    const manifests = (index.manifests ?? []).filter((each) => each.artifactType === artifactType)
    return json(c, { ...index, manifests }, { ...headers, 'oci-filters-applied': 'artifactType' })
  }
}

/** @throws RegistryError `PAGINATION_NUMBER_INVALID`, `TAG_INVALID` */
function pageOf(c: HttpContext): TagPage {
  const { n: counts = [], last: lasts = [] } = c.req.queries()
  const [n] = counts
  if (counts.length > 1 || (n !== undefined && !/^\d{1,15}$/.test(n))) {
    throw new RegistryError('PAGINATION_NUMBER_INVALID', { detail: { n: counts.join(',').slice(0, 100) } })
  }
  const [last] = lasts
  return {
    n: n === undefined ? maxPage : Math.min(Number(n), maxPage),
    ...(last !== undefined && last !== '' && { last: parseTag(last) }),
  }
}

function nextLink(c: HttpContext, name: string, n: number | undefined, last: string): string {
  const ns = c.req.query('ns')
  const query = new URLSearchParams({
    ...(n !== undefined && { n: String(n) }),
    last,
    ...(ns !== undefined && { ns }),
  })
  return `</v2/${name}/tags/list?${query}>; rel="next"`
}

function json(c: HttpContext, value: unknown, headers: Record<string, string>): Response {
  const text = JSON.stringify(value)
  const whole = {
    ...headers,
    'content-length': String(Buffer.byteLength(text)),
    'x-content-type-options': 'nosniff',
  }
  return c.req.method === 'HEAD' ? c.body(null, 200, whole) : c.body(text, 200, whole)
}
