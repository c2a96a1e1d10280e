import { type Digest, isDigest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/reference.ts'

/** distribution-spec, "Listing Referrers": what a listing says of a manifest that refers to another. */
export interface Referrer {
  subject: Digest
  descriptor: {
    mediaType: string
    digest: Digest
    size: number
    artifactType?: string
    annotations?: Record<string, unknown>
  }
}

/** `undefined` for a manifest without a subject. @param bytes have been found to be a manifest */
export function referrerOf(bytes: Buffer, digest: Digest, mediaType: string): Referrer | undefined {
  const { subject, artifactType, config, annotations } = JSON.parse(bytes.toString('utf8'))
  if (typeof subject?.digest !== 'string' || !isDigest(subject.digest)) return undefined
  const type = artifactType || config?.mediaType
  return {
    subject: subject.digest,
    descriptor: {
      ...{ mediaType, digest, size: bytes.length },
      ...(typeof type === 'string' && { artifactType: type }),
      ...(typeof annotations === 'object' && annotations !== null && { annotations }),
    },
  }
}

/** The listing of all `referrers` of one subject; the same ones give the same bytes. */
export function listingOf(referrers: readonly Referrer['descriptor'][]): Buffer {
  const all = new Map(referrers.map((each) => [each.digest, each]))
  const manifests = [...all.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }))
}

/** distribution-spec, "Referrers Tag Schema": where clients look for a listing that the registry does not make. */
export function referrersTag(subject: Digest): Tag {
  const tag = subject.replace(':', '-').slice(0, 128)
  if (!isTag(tag)) throw new Error(`${tag} is no tag`)
  return tag
}
