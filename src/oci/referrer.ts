import type { Digest } from './digest.ts'
import { type Manifest, mediaTypes } from './manifest.ts'
import { isTag, type Tag } from './reference.ts'

/** A manifest that says of another one that it belongs to it (image-spec, "subject"). */
export interface Referrer {
  subject: Digest
  /** As a listing shows it (distribution-spec, "Listing Referrers"). */
  descriptor: {
    mediaType: string
    digest: Digest
    size: number
    artifactType?: string
    annotations?: Record<string, unknown>
  }
}

/** `undefined` for a manifest without a subject. @param size of its bytes */
export function referrerOf(
  { mediaType, refers }: Manifest,
  digest: Digest,
  size: number,
): Referrer | undefined {
  if (!refers) return undefined
  const { subject, ...said } = refers
  return { subject, descriptor: { mediaType, digest, size, ...said } }
}

/** The listing of all `referrers` of one subject; the same ones give the same bytes. */
export function listingOf(referrers: readonly { digest: Digest }[]): Buffer {
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
