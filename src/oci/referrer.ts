import type { Digest } from './digest.ts'
import type { Manifest } from './manifest.ts'

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
