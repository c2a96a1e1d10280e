import type { ManifestRecord } from '../../../src/metadata/metadata.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../../src/oci/reference.ts'

/** The record of this number, always the same: a manifest with children of its own and a tag. */
export function recordOf(number: number, children = 8): ManifestRecord {
  return {
    repository: parseRepositoryName('team/app'),
    digest: digest(`manifest ${number}`),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    size: 1000 + number,
    origin: 'filled',
    children: Array.from({ length: children }, (_, index) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: digest(`layer ${number}.${index}`),
      size: 1 + index,
    })),
    tag: { tag: parseTag(`v${number}`), checkedAt: number },
  }
}

function digest(text: string) {
  return digestOf(new TextEncoder().encode(text))
}
