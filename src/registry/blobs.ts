import type { BlobSender } from '../http/body.ts'
import { close } from '../http/body.ts'
import { type HttpContext, signalOf } from '../http/context.ts'
import type { Usage } from '../jobs/usage.ts'
import type { Digest } from '../oci/digest.ts'
import { type ByteRange, parseRange } from '../oci/range.ts'
import type { RegistryPath } from '../oci/registry-path.ts'
import type { Target } from '../projects/locate.ts'
import type { BlobResolver } from '../resolve/blobs.ts'
import type { CacheStatus, ResolvedRepository } from '../resolve/repository.ts'
import { matchesEtag } from './manifests.ts'
import { provenanceHeaders } from './provenance.ts'

export interface BlobHandlerOptions {
  blobs: BlobResolver
  sender: BlobSender
  usage: Pick<Usage, 'reading'>
  resolved(target: Target): ResolvedRepository
}

/** GET and HEAD of a blob, whole or in ranges, stored or on its way. Never encoded, whatever `Accept-Encoding` says. */
export function createBlobHandler({ blobs, sender, usage, resolved }: BlobHandlerOptions) {
  return async (
    c: HttpContext,
    target: Target,
    { digest }: Extract<RegistryPath, { kind: 'blob' }>,
  ): Promise<Response> => {
    using _reading = usage.reading(digest)
    const signal = signalOf(c)
    const address = c.env.incoming.socket.remoteAddress ?? ''
    const answer = await blobs.resolve(resolved(target), digest, address, signal)
    c.set('cache', answer.source)
    const headers = headersOf(digest, answer.source)
    const known = answer.source !== 'miss' && matchesEtag(c.req.header('if-none-match'), digest)
    if (known) return c.body(null, 304, headers)
    if (c.req.method === 'HEAD')
      return c.body(null, 200, { ...headers, 'content-length': String(await answer.size(signal)) })

    const { source, blob } = await answer.open(signal)
    c.set('cache', source)
    let ranges: ByteRange[] | undefined
    try {
      ranges = rangesOf(c, digest, blob.size)
    } catch (error) {
      await close(blob)
      throw error
    }
    return await sender.send(c.env.outgoing, blob, { headers: headersOf(digest, source), ranges }, signal)
  }
}

function headersOf(digest: Digest, source: CacheStatus): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'accept-ranges': 'bytes',
    'x-content-type-options': 'nosniff',
    ...provenanceHeaders({ source }),
  }
}

/** RFC 9110 §13.1.5: a range for another version of the blob is no range. */
function rangesOf(c: HttpContext, digest: Digest, size: number): ByteRange[] | undefined {
  const condition = c.req.header('if-range')
  return condition !== undefined && condition !== `"${digest}"`
    ? undefined
    : parseRange(c.req.header('range'), size)
}
