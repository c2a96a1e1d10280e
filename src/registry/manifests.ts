import { sendBytes } from '../http/body.ts'
import { type HttpContext, signalOf } from '../http/context.ts'
import type { Usage } from '../jobs/usage.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { RegistryError } from '../oci/error.ts'
import type { RegistryPath } from '../oci/registry-path.ts'
import type { Target } from '../projects/locate.ts'
import type { LocalSource } from '../resolve/local.ts'
import type { ManifestAnswer, ManifestResolver } from '../resolve/manifests.ts'
import type { Prefetcher } from '../resolve/prefetch.ts'
import type { ResolvedRepository } from '../resolve/repository.ts'
import { provenanceHeaders } from './provenance.ts'

export interface ManifestHandlerOptions {
  manifests: ManifestResolver
  prefetcher: Prefetcher
  usage: Pick<Usage, 'used'>
  resolved(target: Target): ResolvedRepository
}

/** GET and HEAD of a manifest. What is stored is what is sent, whatever `Accept` says: digests never change. */
export function createManifestHandler({ manifests, prefetcher, usage, resolved }: ManifestHandlerOptions) {
  return async (
    c: HttpContext,
    target: Target,
    { reference }: Extract<RegistryPath, { kind: 'manifest' }>,
  ): Promise<Response> => {
    const isHead = c.req.method === 'HEAD'
    // Before it is found: what is used does not go meanwhile.
    if (reference.kind === 'digest') usage.used(reference.digest)
    const repository = resolved(target)
    const answer = await manifests.resolve(repository, reference, !isHead, signalOf(c))
    c.set('cache', answer.source)
    usage.used(answer.digest)
    const headers = headersOf(answer)
    if (matchesEtag(c.req.header('if-none-match'), answer.digest)) return c.body(null, 304, headers)
    const whole = { ...headers, 'content-length': String(answer.size) }
    if (isHead || !answer.bytes) return c.body(null, 200, whole)
    const response = sendBytes(c.env.outgoing, 200, whole, answer.bytes)
    prefetcher.answered(repository, answer, c.env.incoming.socket.remoteAddress ?? '')
    return response
  }
}

/**
 * HEAD of a manifest by who has come to push. Clients push nothing that they find there, and what upstream calls so, or
 * what has only come from there, is no push.
 */
export function createPushedManifestHandler({
  tags,
  local,
}: Pick<Metadata, 'tags'> & { local: LocalSource }) {
  return async (
    c: HttpContext,
    { repository }: Target,
    { reference }: Extract<RegistryPath, { kind: 'manifest' }>,
  ): Promise<Response> => {
    const row = reference.kind === 'tag' ? await tags.find(repository, reference.tag) : undefined
    const digest = reference.kind === 'digest' ? reference.digest : row?.own && row.digest
    const isKept = digest !== undefined && (await local.isKept(repository, digest))
    const stored = isKept ? await local.manifest(repository, digest) : undefined
    if (!stored) throw new RegistryError('MANIFEST_UNKNOWN')
    c.set('cache', 'hit')
    const headers = headersOf({ ...stored, source: 'hit' })
    return c.body(null, 200, { ...headers, 'content-length': String(stored.size) })
  }
}

function headersOf(answer: ManifestAnswer): Record<string, string> {
  return {
    'content-type': answer.mediaType,
    'docker-content-digest': answer.digest,
    etag: `"${answer.digest}"`,
    'x-content-type-options': 'nosniff',
    ...provenanceHeaders(answer),
  }
}

/** RFC 9110 §13.1.2, weak comparison. */
export function matchesEtag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((each) => {
    const tag = each.trim().replace(/^W\//, '')
    return tag === '*' || tag === `"${digest}"`
  })
}
