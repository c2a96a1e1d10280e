import type { BlobStore } from '../blobs/blob-store.ts'
import { failpoint } from '../flow/failpoint.ts'
import type { Gates } from '../flow/gates.ts'
import type { Holds } from '../flow/holds.ts'
import type { GarbageRules, HeldRow, Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import type { Pattern } from '../oci/pattern.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { pinOf } from './pins.ts'
import { createRemoval } from './removal.ts'
import type { Usage, UseWatch } from './usage.ts'

/** What of a repository, or of the whole site, is needed no more, and how many bytes went with it. */
export type GarbageEvent =
  /** `bytes` of what no repository holds any more. */
  | ({ kind: 'repository'; repository: RepositoryName } & Unlinked)
  /** What no repository held, such as what was deleted. */
  | { kind: 'unlinked'; parts: number; bytes: number }
  /** All together. */
  | ({ kind: 'end'; parts: number } & Unlinked)

interface Unlinked {
  manifests: number
  blobs: number
  bytes: number
}

export interface GarbageAges {
  /** How long nobody has pushed, mounted or asked for a blob that no manifest of its repository names. */
  graceMs: number
  /** The same of manifests without a tag, where it is longer; absent: they stay. */
  untaggedMs?: number
}

export interface GarbageOptions {
  metadata: Pick<Metadata, 'links' | 'garbage' | 'stored'>
  blobs: Pick<BlobStore, 'remove'>
  usage: Pick<Usage, 'isInUse' | 'watch' | 'flush'>
  holds: Pick<Holds<Digest>, 'claim'>
  gates: Pick<Gates<RepositoryName>, 'close'>
  /** Whether what belongs to a repository's manifests may be elsewhere. */
  hasUpstream(repository: RepositoryName): boolean
  /** Repositories that lose nothing. */
  pins(): readonly Pattern[]
  /** As uses are noted. */
  now(): number
  /** One page at a time, whoever collects. */
  page<Value>(work: () => Promise<Value>): Promise<Value>
}

/** Rows that are looked at, and links or files that go, in one page. */
const pageRows = 200
/** An index goes before its images, a subject before what refers to it; what is left of longer chains is for the next run. */
const mostPasses = 16

interface Page extends Unlinked {
  last: Digest | undefined
}

/**
 * Unlinks what was pushed and nothing needs any more, and removes what no repository links. Pushes, pulls and deletes go on
 * meanwhile.
 * @throws at the end, when a file could not be removed
 */
export async function* collectGarbage(
  options: GarbageOptions,
  ages: GarbageAges,
  signal: AbortSignal,
): AsyncGenerator<GarbageEvent, void> {
  const { metadata } = options
  const pages = createPages(options, signal)
  const rulesOf = rulesAt(options.now(), ages)
  const all = { manifests: 0, blobs: 0, parts: 0, bytes: 0 }

  async function pass(repository: RepositoryName, rules: GarbageRules): Promise<Unlinked> {
    return summed((after) => pages.unlink(repository, rules, after))
  }
  async function repository(name: RepositoryName): Promise<Unlinked> {
    const sums = { manifests: 0, blobs: 0, bytes: 0 }
    const { manifest, blob } = rulesOf
    for (let passes = 0; manifest && passes < mostPasses; passes++) {
      const gone = await pass(name, { ...manifest, subjectsElsewhere: options.hasUpstream(name) })
      add(sums, gone)
      if (gone.manifests === 0) break
    }
    add(sums, await pass(name, blob))
    return sums
  }

  for (let names = await metadata.links.repositories(undefined, pageRows); names.length > 0; ) {
    for (const name of names) {
      const sums = await repository(name)
      add(all, sums)
      if (sums.manifests + sums.blobs > 0) yield { kind: 'repository', repository: name, ...sums }
    }
    names = await metadata.links.repositories(names.at(-1), pageRows)
  }
  const { blobs: parts, bytes } = await summed(pages.remove)
  all.parts += parts
  all.bytes += bytes
  if (parts > 0) yield { kind: 'unlinked', parts, bytes }
  yield { kind: 'end', ...all }
  pages.throwIfStuck()
}

interface Pages {
  unlink(repository: RepositoryName, rules: GarbageRules, after: Digest | undefined): Promise<Page>
  /** What nothing links, counted as blobs. */
  remove(after: Digest | undefined): Promise<Page>
  throwIfStuck(): void
}

function createPages(options: GarbageOptions, signal: AbortSignal): Pages {
  const { metadata, usage, holds, gates, pins, page } = options
  const { garbage, stored } = metadata
  let stuck: { error: unknown } | undefined
  const removal = createRemoval({
    ...options,
    stored,
    isClosed: () => signal.aborted,
    onRemoved() {},
    onError(error) {
      stuck = { error }
    },
  })
  const notInUse = (digests: Iterable<Digest>) => [...digests].filter((digest) => !usage.isInUse(digest))

  /** Nobody can point to what is claimed: what nothing links now is nobody's. */
  async function removeUnlinked(claimed: Iterable<Digest>): Promise<HeldRow[]> {
    const held = await stored.held(claimed)
    return removal.remove(held.filter(({ links }) => links.length === 0))
  }

  /**
   * While no manifest is put to the repository, and every use is known: as noted, with all that it points to, or to `uses`.
   * Claims come after it: who puts a manifest waits for what is claimed.
   */
  async function alone<Value>(
    repository: RepositoryName,
    work: (uses: UseWatch) => Promise<Value>,
  ): Promise<Value> {
    using _gate = await gates.close(repository)
    using uses = usage.watch()
    await usage.flush()
    return await work(uses)
  }

  async function unlinkPage(repository: RepositoryName, rules: GarbageRules, after: Digest | undefined) {
    signal.throwIfAborted()
    const seen = await garbage.links(repository, rules, after, pageRows)
    if (seen.found.length === 0 || pinOf(repository, pins()))
      return { gone: [], removed: [], last: seen.last }
    using owned = new DisposableStack()
    const { gone, last } = await alone(repository, async (uses) => {
      const { found, last } = await garbage.links(repository, rules, after, pageRows)
      const claim = owned.use(holds.claim(notInUse(found)))
      failpoint('gc-unlinking')
      const unused = [...claim.keys].filter((digest) => !uses.has(digest))
      return { gone: await garbage.unlink(repository, unused, rules), last }
    })
    failpoint('gc-unlinked')
    return { gone, removed: await removeUnlinked(gone), last }
  }

  return {
    unlink: (repository, rules, after) =>
      page(async () => {
        const { gone, removed, last } = await unlinkPage(repository, rules, after)
        const isBlob = rules.kind === 'blob'
        return {
          manifests: isBlob ? 0 : gone.length,
          blobs: isBlob ? gone.length : 0,
          bytes: bytesOf(removed),
          last,
        }
      }),
    remove: (after) =>
      page(async () => {
        signal.throwIfAborted()
        const { found, last } = await garbage.stored(after, pageRows)
        using claim = holds.claim(notInUse(found))
        const removed = await removeUnlinked(claim.keys)
        return { manifests: 0, blobs: removed.length, bytes: bytesOf(removed), last }
      }),
    throwIfStuck() {
      if (stuck) throw stuck.error
    },
  }
}

/** By the clock of uses, and by the earlier of both: who sets the clock makes nothing older. */
function rulesAt(
  now: number,
  { graceMs, untaggedMs }: GarbageAges,
): { blob: GarbageRules; manifest?: GarbageRules } {
  const before = (ageMs: number) => ({ created: Math.min(now, Date.now()) - ageMs, used: now - ageMs })
  return {
    blob: { kind: 'blob', before: before(graceMs) },
    ...(untaggedMs !== undefined && {
      manifest: { kind: 'manifest' as const, before: before(Math.max(graceMs, untaggedMs)) },
    }),
  }
}

async function summed(pageAfter: (after: Digest | undefined) => Promise<Page>): Promise<Unlinked> {
  const sums = { manifests: 0, blobs: 0, bytes: 0 }
  let after: Digest | undefined
  do {
    const { last, ...gone } = await pageAfter(after)
    add(sums, gone)
    after = last
  } while (after !== undefined)
  return sums
}

function add(sums: Unlinked, { manifests, blobs, bytes }: Unlinked): void {
  sums.manifests += manifests
  sums.blobs += blobs
  sums.bytes += bytes
}

function bytesOf(rows: readonly HeldRow[]): number {
  return rows.reduce((sum, { size }) => sum + size, 0)
}
