import { UpstreamError } from '../upstream/registry-client.ts'
import { unavailable } from './errors.ts'
import type { LocalSource, Missing } from './local.ts'
import type { ManifestAnswer } from './manifests.ts'
import type { ResolvedRepository } from './repository.ts'

type Upstream = NonNullable<ResolvedRepository['upstream']>

/**
 * podman and skopeo take every blob of an image from where its manifest came from, index included: a manifest is a
 * promise. So an image that is not all here is refused at its manifest while upstream does not answer, where every client
 * still turns to another source. Where upstream was silent lately, it is asked before the promise is made.
 * @throws RegistryError `UNAVAILABLE`
 */
export async function refuseUnpullable(
  local: LocalSource,
  { upstream }: ResolvedRepository,
  { source, unconfirmed, digest, mediaType, size, bytes }: ManifestAnswer,
  signal: AbortSignal,
): Promise<void> {
  if (!upstream || (source !== 'stale' && source !== 'hit')) return
  const failed = unconfirmed === 'down' || unconfirmed === 'limited'
  if (!failed && upstream.client.isAnswering()) return
  const missing = bytes ? await local.missing({ digest, mediaType, size, bytes }) : manifestOf(digest)
  if (missing && (failed || !(await answers(upstream, missing, signal)))) {
    throw unavailable('the upstream registry cannot be reached, and not all of this image is here')
  }
}

function manifestOf(digest: ManifestAnswer['digest']): Missing {
  return { kind: 'manifest', digest }
}

/** Any word will do: that upstream has not got a blob any more is said when the blob is asked for. */
async function answers(
  { client, repository }: Upstream,
  missing: Missing,
  signal: AbortSignal,
): Promise<boolean> {
  const { kind, digest } = missing
  try {
    if (kind === 'blob') await client.headBlob(repository, digest, signal)
    else await client.headManifest(repository, { kind: 'digest', digest }, signal)
    return true
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    return error.kind !== 'down' && error.kind !== 'limited'
  }
}
