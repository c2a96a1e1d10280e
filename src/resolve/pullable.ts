import type { Reference } from '../oci/reference.ts'
import { UpstreamError } from '../upstream/registry-client.ts'
import { unavailable } from './errors.ts'
import { graceMs, within } from './grace.ts'
import type { LocalSource, Missing } from './local.ts'
import type { ManifestAnswer } from './manifests.ts'
import type { MirroredRepository, ResolvedRepository } from './repository.ts'

type Upstream = MirroredRepository['upstream']

/**
 * podman and skopeo take every blob of an image from where they got the first manifest, index or not: it is a promise.
 * So what cannot be pulled whole is refused there while upstream does not answer, and they turn to another source. Where
 * upstream was silent lately, it is asked before the promise is made.
 *
 * A child of an index is served whatever is missing of it: who asks for it is bound already, and containerd asks for the
 * manifests of platforms whose layers it never wants. What was pushed here is as whole as it was meant to be.
 * @throws RegistryError `UNAVAILABLE`
 */
export async function refuseUnpullable(
  local: LocalSource,
  { repository, upstream }: ResolvedRepository,
  reference: Reference,
  { source, unconfirmed, digest, mediaType, size, bytes }: ManifestAnswer,
  lifetime: AbortSignal,
): Promise<void> {
  if (!upstream || (source !== 'stale' && source !== 'hit')) return
  if (unconfirmed !== 'down' && unconfirmed !== 'limited' && upstream.client.isAnswering()) return
  if (await local.isKept(repository, digest)) return
  const missing = bytes ? await local.missing({ digest, mediaType, size, bytes }) : manifestOf(digest)
  if (!missing) return
  if (bytes && reference.kind === 'digest' && (await local.isChild(repository, digest))) return
  // An upstream that gives no more manifests may well give blobs.
  const failed = unconfirmed === 'down' || (unconfirmed === 'limited' && missing.kind === 'manifest')
  if (failed || !(await answers(upstream, missing, lifetime))) {
    throw unavailable('the upstream registry cannot be reached, and not all of this image is here')
  }
}

function manifestOf(digest: ManifestAnswer['digest']): Missing {
  return { kind: 'manifest', digest }
}

/**
 * Any word will do: that upstream has not got a blob any more is said when the blob is asked for. None within a moment
 * is no verdict; the question goes on, so that the next one knows.
 */
async function answers(
  { client, repository }: Upstream,
  { kind, digest }: Missing,
  lifetime: AbortSignal,
): Promise<boolean> {
  const asking =
    kind === 'blob'
      ? client.headBlob(repository, digest, lifetime)
      : client.headManifest(repository, { kind: 'digest', digest }, lifetime)
  try {
    await within<unknown>(asking, graceMs)
    return true
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    return error.kind !== 'down' && error.kind !== 'limited'
  }
}
