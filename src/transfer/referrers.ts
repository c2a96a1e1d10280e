import type { Digest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/reference.ts'
import type { Referrer } from '../oci/referrer.ts'

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
