import { type HttpContext, signalOf } from '../http/context.ts'
import { parseDigest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { parseRepositoryName, parseTag, type RepositoryName } from '../oci/reference.ts'
import type { RegistryPath } from '../oci/registry-path.ts'
import type { Target } from '../projects/locate.ts'
import type { Listings } from '../resolve/listings.ts'
import type { OwnListings } from '../resolve/own-listings.ts'
import type { ResolvedRepository } from '../resolve/repository.ts'
import { countOf, nextLink } from './paging.ts'
import { provenanceHeaders } from './provenance.ts'

/** distribution-spec "Listing Tags". */
export function createTagsHandler(listings: Listings, resolved: (target: Target) => ResolvedRepository) {
  return async (c: HttpContext, target: Target, { name }: Extract<RegistryPath, { kind: 'tags' }>) => {
    const [n, after] = [countOf(c), lastOf(c)]
    const page = { n, ...(after !== undefined && { last: parseTag(after) }) }
    const { tags, last, ...provenance } =
      n === 0
        ? { tags: [], last: undefined, source: 'hit' as const }
        : await listings.tags(resolved(target), page, signalOf(c))
    c.set('cache', provenance.source)
    const headers = {
      'content-type': 'application/json',
      ...nextLink(c, `/v2/${name}/tags/list`, last),
      ...provenanceHeaders(provenance),
    }
    return send(c, JSON.stringify({ name, tags }), headers)
  }
}

/** distribution-spec "Listing Referrers"; the filter is applied here, whatever upstream does. */
export function createReferrersHandler(listings: Listings, resolved: (target: Target) => ResolvedRepository) {
  return async (
    c: HttpContext,
    target: Target,
    { name, digest }: Extract<RegistryPath, { kind: 'referrers' }>,
  ) => {
    const [artifactType, after] = [c.req.query('artifactType'), lastOf(c)]
    const query = {
      n: countOf(c),
      ...(artifactType !== undefined && { artifactType }),
      ...(after !== undefined && { last: parseDigest(after) }),
    }
    const { bytes, last, isFiltered, ...provenance } = await listings.referrers(
      resolved(target),
      digest,
      query,
      signalOf(c),
    )
    c.set('cache', provenance.source)
    const headers = {
      'content-type': mediaTypes.ociIndex,
      ...nextLink(c, `/v2/${name}/referrers/${digest}`, last),
      ...(artifactType !== undefined && { 'oci-filters-applied': 'artifactType' }),
      ...provenanceHeaders(provenance),
    }
    const isWhole = artifactType === undefined || isFiltered
    return send(c, isWhole ? bytes.toString() : filtered(bytes, artifactType), headers)
  }
}

/** distribution's `_catalog`, which the specification leaves out. */
export function createCatalogHandler({ repositories }: Pick<OwnListings, 'repositories'>) {
  return async (c: HttpContext, maySee: (name: RepositoryName) => boolean) => {
    const [n, after] = [countOf(c), lastOf(c)]
    const last = after === undefined ? undefined : parseRepositoryName(after)
    const page = n === 0 ? { items: [] } : await repositories(n, last, maySee)
    return send(c, JSON.stringify({ repositories: page.items }), {
      'content-type': 'application/json',
      ...nextLink(c, '/v2/_catalog', page.last),
    })
  }
}

function filtered(bytes: Buffer, artifactType: string): string {
  const index: { manifests?: { artifactType?: string }[] } = JSON.parse(bytes.toString())
  const manifests = (index.manifests ?? []).filter((each) => each.artifactType === artifactType)
  return JSON.stringify({ ...index, manifests })
}

function lastOf(c: HttpContext): string | undefined {
  return c.req.query('last') || undefined
}

function send(c: HttpContext, text: string, headers: Record<string, string>): Response {
  const whole = {
    ...headers,
    'content-length': String(Buffer.byteLength(text)),
    'x-content-type-options': 'nosniff',
  }
  return c.req.method === 'HEAD' ? c.body(null, 200, whole) : c.body(text, 200, whole)
}
