import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest.ts'
import { isForPlatform, type Platform } from '../oci/platform.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** What asking for an image's manifest says of its layers. */
export type Intent =
  /** They will be asked for. */
  | { kind: 'pull' }
  /** They are of a platform that is not fetched ahead. */
  | { kind: 'other' }
  /** The client reads the manifests of all platforms; `before` is the image that it seemed to pull. */
  | { kind: 'collect'; before?: Digest }

/** Tells from indexes and from what clients ask for which of their images are pulled. */
export interface Platforms {
  /** An index was answered. @returns its images for the `wanted` platforms */
  offered(
    repository: RepositoryName,
    index: Digest,
    images: readonly Descriptor[],
    wanted: readonly Platform[],
  ): Digest[]
  /** A client was answered with an image's manifest. */
  asked(repository: RepositoryName, image: Digest, client: string): Intent
}

/** Who takes a second image of an index within this time pulls neither for itself. */
const collectWithinMs = 60_000
const maxRemembered = 10_000

interface Offer {
  index: Digest
  /** Undecided where no platforms are wanted in particular. */
  wanted: boolean | undefined
}

export function createPlatforms(now: () => number = () => performance.now()): Platforms {
  const offers = new LRUCache<string, Offer>({ max: maxRemembered })
  const lately = new LRUCache<string, Digest | 'several'>({
    max: maxRemembered,
    ttl: collectWithinMs,
    perf: { now },
  })

  return {
    offered(repository, index, images, wanted) {
      for (const image of images) {
        offers.set(`${repository}@${image.digest}`, { index, wanted: isWanted(image, wanted) })
      }
      return images.filter((image) => isWanted(image, wanted)).map(({ digest }) => digest)
    },
    asked(repository, image, client) {
      const offer = offers.get(`${repository}@${image}`)
      if (offer?.wanted === false) return { kind: 'other' }
      if (!offer || offer.wanted) return { kind: 'pull' }
      const key = `${client} ${repository}@${offer.index}`
      const first = lately.get(key)
      if (first === 'several') return { kind: 'collect' }
      if (first === undefined) lately.set(key, image)
      if (first === undefined || first === image) return { kind: 'pull' }
      lately.set(key, 'several')
      return { kind: 'collect', before: first }
    },
  }
}

/** Attestations are listed beside the images, as being for the platform `unknown/unknown`. */
function isWanted({ platform }: Descriptor, wanted: readonly Platform[]): boolean | undefined {
  if (platform?.os === 'unknown') return false
  if (wanted.length === 0) return undefined
  return platform !== undefined && wanted.some((each) => isForPlatform(platform, each))
}
