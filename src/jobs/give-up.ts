import type { HeldRow, LinkKey, Metadata, Needs, PartRow, TaggedDigest } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Pattern } from '../oci/pattern.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { type GiveUpTarget, linksOf, rootsOf } from './give-up-target.ts'
import { pinOf } from './pins.ts'
import type { GivenUp } from './removal.ts'
import type { Space } from './space.ts'
import type { Usage } from './usage.ts'

export type GiveUpEvent =
  /** `why` it stays, where it does. `bytes` that went with it. */
  | { kind: 'image'; image: string; bytes: number; why?: string }
  /** Nothing here is what was asked for. */
  | { kind: 'nothing'; asked: string }
  | { kind: 'end'; images: number; parts: number; bytes: number; stayed: Stayed[] }

/** Manifests and blobs of images that were asked for, of which nothing else is told. */
export interface Stayed {
  why: string
  parts: number
  bytes: number
}

export interface GiveUpOptions {
  metadata: Metadata
  space: Pick<Space, 'giveUp'>
  usage: Pick<Usage, 'flush'>
  /** Those of the policies and those of commands. */
  pins(): readonly Pattern[]
}

/** Looked at and removed in one round. */
const roundRows = 200

const needed = 'other images need it'
const moved = 'it has moved or gone meanwhile'

interface Root {
  repository: RepositoryName
  tag?: Tag
  digest: Digest
}

/**
 * Gives up images, each whole: its tag, its manifest, then what nothing else needs. Pinned, pushed, read and fetched
 * stays.
 * @param dry nothing goes; what would is told
 */
export async function* giveUp(
  options: GiveUpOptions,
  targets: readonly GiveUpTarget[],
  dry: boolean,
  signal: AbortSignal,
): AsyncGenerator<GiveUpEvent, void> {
  const run = createRun(options, dry)
  for (const target of targets) {
    let found = false
    for await (const root of rootsOf(options.metadata, target)) {
      signal.throwIfAborted()
      const event = await run.image(root)
      found = true
      if (event) yield event
    }
    if (target.images?.kind !== 'tags') {
      for await (const link of linksOf(options.metadata, target)) {
        signal.throwIfAborted()
        found = true
        const event = await run.untagged(link, target.images !== undefined)
        if (event) yield event
      }
      await run.rest()
    }
    if (!found) yield { kind: 'nothing', asked: target.text }
  }
  yield run.end()
}

/** What a dry run has not really done counts as done. */
interface Pretended {
  tags: Set<string>
  tagsOf: Map<Digest, number>
  parentsOf: Map<Digest, number>
}

interface Run {
  image(root: TaggedDigest): Promise<GiveUpEvent | undefined>
  /**
   * What a repository holds without a tag: a manifest that was asked for by its digest.
   * @param isNamed it was asked for by just that digest
   */
  untagged(link: LinkKey, isNamed: boolean): Promise<GiveUpEvent | undefined>
  /** The blobs among what came as {@link untagged}. */
  rest(): Promise<void>
  end(): GiveUpEvent
}

function createRun({ metadata, space, usage, pins }: GiveUpOptions, dry: boolean): Run {
  const pretended: Pretended = { tags: new Set(), tagsOf: new Map(), parentsOf: new Map() }
  const gone = new Set<Digest>()
  const stayed = new Map<Digest, { why: string; size: number }>()
  const sums = { images: 0, parts: 0, bytes: 0 }
  const isPretended = (digest: Digest) => dry && gone.has(digest)
  let blobs: Digest[] = []

  function reasonOf(row: HeldRow, needs: Needs): string | undefined {
    const pushed = row.links.find(({ origin }) => origin !== 'filled')
    if (pushed) return reasonOfOrigin(pushed.origin)
    for (const { repository } of row.links) {
      const pin = pinOf(repository, pins())
      if (pin) return reasonOfPin(pin)
    }
    return needs.parents > 0 || needs.tags > 0 ? needed : undefined
  }

  /** @param tagsToGo that lead to each and go with it */
  async function give(digests: readonly Digest[], tagsToGo: number): Promise<GivenUp> {
    const given = await space.giveUp(
      digests.filter((digest) => !isPretended(digest)),
      async (rows) => {
        const needs = await metadata.stored.needs(rows.map(({ digest }) => digest))
        const reasons = rows.flatMap((row): [Digest, string][] => {
          const { parents = 0, tags = 0 } = needs.get(row.digest) ?? {}
          const why = reasonOf(row, {
            parents: parents - (pretended.parentsOf.get(row.digest) ?? 0),
            tags: tags - (pretended.tagsOf.get(row.digest) ?? 0) - tagsToGo,
          })
          return why === undefined ? [] : [[row.digest, why]]
        })
        return new Map(reasons)
      },
      dry,
    )
    for (const { digest, size } of given.gone) {
      gone.add(digest)
      stayed.delete(digest)
      sums.parts += 1
      sums.bytes += size
    }
    for (const [digest, { why, size }] of given.stay) stayed.set(digest, { why, size })
    if (dry) await pretend(given)
    return given
  }

  async function pretend(given: GivenUp): Promise<void> {
    const children = await metadata.manifests.children(given.gone.map(({ digest }) => digest))
    for (const [digest, count] of children)
      pretended.parentsOf.set(digest, (pretended.parentsOf.get(digest) ?? 0) + count)
  }

  async function removeTag({ repository, tag, digest }: Root): Promise<void> {
    if (tag === undefined) return
    if (!dry) return metadata.tags.remove(repository, tag, digest)
    pretended.tags.add(`${repository}:${tag}`)
    pretended.tagsOf.set(digest, (pretended.tagsOf.get(digest) ?? 0) + 1)
  }

  /** @returns why it stays */
  async function whole(root: Root): Promise<string | undefined> {
    const { repository, digest, tag } = root
    // Listed a while ago: what was pulled or pushed under its name since is not what was asked for.
    if (tag !== undefined && (await metadata.tags.find(repository, tag))?.digest !== digest) return moved
    const link = await metadata.links.find(repository, digest)
    if (link && link.origin !== 'filled') return reasonOfOrigin(link.origin)
    const pin = pinOf(repository, pins())
    if (pin) return reasonOfPin(pin)
    await usage.flush()
    const parts = (await metadata.images.parts(digest)).filter(({ isHere }) => isHere)
    const [first, ...rest] = parts
    const isHere = first?.digest === digest && !isPretended(digest)
    const given = isHere ? await give([digest], tag === undefined ? 0 : 1) : undefined
    const why = given?.stay.get(digest)?.why
    if (why !== undefined && (why !== needed || tag === undefined)) return why
    await removeTag(root)
    if (isHere && !given?.gone.length) return undefined
    await giveBelow(rest)
    await giveReferrers(repository, parts)
    return undefined
  }

  /** What points goes before what it points to: what stays keeps its own. */
  async function giveBelow(parts: readonly PartRow[]): Promise<void> {
    for (const level of Map.groupBy(parts, ({ depth }) => depth).values())
      await giveInRounds(level.map(({ digest }) => digest))
  }

  async function giveInRounds(digests: readonly Digest[]): Promise<void> {
    for (let from = 0; from < digests.length; from += roundRows)
      await give(digests.slice(from, from + roundRows), 0)
  }

  /** Listings of signatures and the like are kept as tags of what they belong to. */
  async function giveReferrers(repository: RepositoryName, parts: readonly PartRow[]): Promise<void> {
    for (const { digest, kind } of parts) {
      if (kind !== 'manifest' || !gone.has(digest)) continue
      const listing = await metadata.tags.find(repository, `referrers:${digest}` as Tag)
      if (listing && !pretended.tags.has(`${repository}:${listing.tag}`)) await whole(listing)
    }
  }

  async function told(root: Root): Promise<GiveUpEvent | undefined> {
    const before = sums.bytes
    const why = await whole(root)
    if (why === undefined) sums.images += 1
    const { repository, tag, digest } = root
    const image = tag === undefined ? `${repository}@${digest}` : `${repository}:${tag}`
    return { kind: 'image', image, bytes: sums.bytes - before, ...(why !== undefined && { why }) }
  }

  return {
    async image(root) {
      if (pretended.tags.has(`${root.repository}:${root.tag}`)) return undefined
      if (!root.tag.includes(':')) return told(root)
      await whole(root)
      return undefined
    },
    async untagged({ repository, digest }, isNamed) {
      if (isPretended(digest)) return undefined
      if (!(await metadata.manifests.find(digest))) {
        blobs.push(digest)
        return undefined
      }
      const { parents = 0, tags = 0 } = (await metadata.stored.needs([digest])).get(digest) ?? {}
      // What stays for another one of them is told there.
      return parents + tags > 0 && !isNamed ? undefined : told({ repository, digest })
    },
    async rest() {
      const left = blobs
      blobs = []
      await usage.flush()
      await giveInRounds(left)
    },
    end() {
      const reasons = Map.groupBy(stayed.values(), ({ why }) => why)
      const sumsOf = ([why, parts]: [string, { size: number }[]]) => ({
        why,
        parts: parts.length,
        bytes: parts.reduce((sum, { size }) => sum + size, 0),
      })
      return { kind: 'end', ...sums, stayed: [...reasons].map(sumsOf) }
    },
  }
}

function reasonOfOrigin(origin: string): string {
  return origin === 'pushed' ? 'it was pushed here' : `it was ${origin} here on purpose`
}

function reasonOfPin({ text = 'a pattern' }: Pattern): string {
  return `it is pinned by ${text}`
}
