import type { Pins } from '../jobs/pins.ts'
import type { Space } from '../jobs/space.ts'
import { parseImageName } from '../oci/image-name.ts'
import { hasWildcards, parsePattern } from '../oci/pattern.ts'
import { targetOfImage } from '../projects/named.ts'
import type { Site } from '../projects/project.ts'

export type PinLine =
  | { pattern: string; from: 'command' /** ISO 8601. */; since: string }
  | { pattern: string; from: 'policies' /** File and line. */; at?: string }

export interface PinOptions {
  pins: Pins
  space: Pick<Space, 'repinned'>
  site(): Site
  /** The default mirror's project. */
  mirror: string
}

/** Those of the policies first. */
export function pinLines({ pins, site }: PinOptions): PinLine[] {
  const { cache } = site()
  return [
    ...cache.pins.map(
      ({ text = '' }): PinLine => ({
        pattern: text,
        from: 'policies',
        ...(cache.pinsAt !== undefined && { at: cache.pinsAt }),
      }),
    ),
    ...pins.list().map(
      ({ pattern, createdAt }): PinLine => ({
        pattern,
        from: 'command',
        since: new Date(createdAt).toISOString(),
      }),
    ),
  ]
}

/** @throws SyntaxError */
export async function pin(options: PinOptions, text: string): Promise<{ pattern: string; isNew: boolean }> {
  const pattern = pinnedName(options, text)
  const isNew = await options.pins.add(pattern)
  await options.space.repinned()
  return { pattern, isNew }
}

/** @throws in one line for what no command has pinned */
export async function unpin(options: PinOptions, text: string): Promise<{ pattern: string }> {
  const { pins, site, space } = options
  const { cache } = site()
  const byCommand = pins.list().map(({ pattern }) => pattern)
  const byPolicies = cache.pins.map((each) => each.text)
  const pattern = [...byCommand, ...byPolicies].includes(text) ? text : pinnedName(options, text)
  if (await pins.remove(pattern)) {
    await space.repinned()
    return { pattern }
  }
  if (byPolicies.includes(pattern))
    throw new Error(`${pattern} is pinned by the policies (${cache.pinsAt}): it is unpinned there`)
  throw new Error(`${pattern} is not pinned: pin lists what is`)
}

/** A plain name is that of one repository, with its project. */
function pinnedName({ site, mirror }: PinOptions, text: string): string {
  if (hasWildcards(text)) {
    parsePattern(text)
    return text
  }
  const name = parseImageName(text)
  const { repository } = targetOfImage(site(), mirror, name)
  if (name.reference) throw new SyntaxError(`expected a repository without tag or digest, as ${repository}`)
  return repository
}
