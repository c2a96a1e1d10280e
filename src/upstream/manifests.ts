import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/error.ts'
import { acceptedManifests, maxManifestBytes, parseManifest } from '../oci/manifest.ts'
import { type Reference, type RepositoryName, textOf } from '../oci/reference.ts'
import { contentLengthOf, contentTypeOf, drop, readWhole, refuseWebPage } from './answer.ts'
import type { AskUpstream } from './ask.ts'
import type { Ask } from './exchange.ts'
import { oneOf } from './failure.ts'
import { type FetchedManifest, type ManifestHead, UpstreamError } from './registry-client.ts'

export async function headManifest(
  ask: AskUpstream,
  repository: RepositoryName,
  reference: Reference,
  signal: AbortSignal,
): Promise<ManifestHead> {
  return ask(manifestAsk('HEAD', repository, reference), signal, (answer) => {
    refuseWebPage(answer)
    drop(answer)
    const digest = oneOf(answer.headers['docker-content-digest'])
    const mediaType = contentTypeOf(answer)
    const size = contentLengthOf(answer)
    return {
      ...(digest !== undefined && isDigest(digest) && { digest }),
      ...(mediaType !== undefined && acceptedManifests.includes(mediaType) && { mediaType }),
      ...(size !== undefined && { size }),
    }
  })
}

/** What `Docker-Content-Digest` says proves nothing (CVE-2026-85747), but bytes that contradict it have been damaged. */
export async function getManifest(
  ask: AskUpstream,
  bodyMs: number,
  repository: RepositoryName,
  reference: Reference,
  signal: AbortSignal,
): Promise<FetchedManifest> {
  return ask(manifestAsk('GET', repository, reference), signal, async (answer) => {
    const bytes = await readWhole(answer, { bytes: maxManifestBytes, ms: bodyMs }, signal)
    const { host } = answer.url
    const mediaType = mediaTypeOf(bytes, contentTypeOf(answer), host)
    const claimed = oneOf(answer.headers['docker-content-digest'])
    if (claimed !== undefined && isDigest(claimed)) proven(bytes, claimed, host)
    const digest = reference.kind === 'digest' ? proven(bytes, reference.digest, host) : digestOf(bytes)
    return { digest, mediaType, bytes }
  })
}

function manifestAsk(method: 'GET' | 'HEAD', repository: RepositoryName, reference: Reference): Ask {
  const path = `manifests/${textOf(reference)}`
  return { kind: 'manifest', method, repository, path, headers: { accept: acceptedManifests.join(', ') } }
}

function mediaTypeOf(bytes: Buffer, contentType: string | undefined, host: string): string {
  try {
    return parseManifest(bytes, contentType).mediaType
  } catch (error) {
    if (error instanceof RegistryError)
      throw new UpstreamError('lying', `${host}: ${error.message}`, { cause: error })
    throw error
  }
}

function proven(bytes: Buffer, digest: Digest, host: string): Digest {
  if (digestOf(bytes, algorithmOf(digest)) === digest) return digest
  throw new UpstreamError('lying', `${host}: sent other bytes than manifest ${digest}`)
}
