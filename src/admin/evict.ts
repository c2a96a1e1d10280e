import type { GiveUpTarget } from '../jobs/give-up-target.ts'
import { parseImageName } from '../oci/image-name.ts'
import { hasWildcards, parsePattern } from '../oci/pattern.ts'
import { nameOfImage, targetOfImage } from '../projects/named.ts'
import type { Site } from '../projects/project.ts'

/**
 * The images that `text` asks to give up: `library/nginx:1.27`, `ghcr.io/org/app@sha256:…`, `nginx` for all of its tags,
 * `docker.io/**` or `library/*:1.*`. A pattern of repositories is matched as a pin is.
 * @throws SyntaxError in one line
 */
export function evictTargetOf(site: Site, mirror: string, text: string): GiveUpTarget {
  return hasWildcards(text) ? patternTarget(text) : imageTarget(site, mirror, text)
}

function patternTarget(text: string): GiveUpTarget {
  const colon = text.indexOf(':', text.lastIndexOf('/') + 1)
  const repositories = parsePattern(colon === -1 ? text : text.slice(0, colon))
  return {
    text,
    repositories: (repository) =>
      repositories(repository) || repositories(repository.slice(repository.indexOf('/') + 1)),
    ...(colon !== -1 && { images: { kind: 'tags', matches: parsePattern(text.slice(colon + 1)) } }),
  }
}

function imageTarget(site: Site, mirror: string, text: string): GiveUpTarget {
  const name = parseImageName(text)
  const { reference } = name
  const names = new Set<string>([nameOfImage(name), locatedName(site, mirror, name)])
  return {
    text,
    repositories: (repository) => names.has(repository),
    ...(reference?.kind === 'digest' && { images: reference }),
    ...(reference?.kind === 'tag' && {
      images: { kind: 'tags', matches: (tag) => tag === reference.tag },
    }),
  }
}

/** What is kept of a project outlives it, so that a name that means nothing now may be one that did. */
function locatedName(site: Site, mirror: string, name: ReturnType<typeof parseImageName>): string {
  try {
    return targetOfImage(site, mirror, name).repository
  } catch (error) {
    if (error instanceof SyntaxError) return nameOfImage(name)
    throw error
  }
}
