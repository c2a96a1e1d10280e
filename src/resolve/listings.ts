import type { Metadata } from '../metadata/metadata.ts'
import { RegistryError } from '../oci/error.ts'
import { type TagPage, UpstreamError } from '../upstream/registry-client.ts'
import { answerFor } from './errors.ts'
import { saysNothing } from './freshness.ts'
import { cutPage, mergePages, type Page } from './merge.ts'
import { provenanceWithout } from './own-listings.ts'
import { createPaced } from './pace.ts'
import { createListReferrers, type ListReferrers, type ReferrersOptions } from './referrers.ts'
import type { MirroredRepository, Provenance, ResolvedRepository } from './repository.ts'

const localPage = 1000

export interface TagsAnswer extends Provenance {
  tags: string[]
  /** Ask for more after this one. */
  last?: string
}

/** What a repository lists: what was pushed, and upstream's word, or what is known here of it while upstream is silent. */
export interface Listings {
  /** @throws RegistryError `NAME_UNKNOWN`, `UNAVAILABLE` */
  tags(repository: ResolvedRepository, page: TagPage, signal: AbortSignal): Promise<TagsAnswer>
  referrers: ListReferrers
}

export interface ListingsOptions extends ReferrersOptions {
  metadata: Metadata
}

export function createListings(options: ListingsOptions): Listings {
  const { metadata, own } = options

  async function mirroredTags(
    repository: MirroredRepository,
    page: TagPage & { n: number },
    pushed: Page<string>,
    signal: AbortSignal,
  ): Promise<TagsAnswer> {
    const { upstream, repository: name, stale } = repository
    try {
      const ask = () => upstream.client.listTags(upstream.repository, page, signal)
      const list = await createPaced()(ask, signal)
      return { ...(pushed.items.length === 0 ? list : together(pushed, list, page.n)), source: 'revalidated' }
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error
      const may = saysNothing(error) && stale.when !== 'never'
      const here = may ? await own.tags(name, page.n, page.last) : pushed
      const isOwn =
        pushed.items.length > 0 || (!repository.asUpstream && (await metadata.links.isUsed(name, 'kept')))
      if (here.items.length === 0 && !isOwn) throw toName(error)
      const answer = { tags: here.items, ...(here.last !== undefined && { last: here.last }) }
      return { ...answer, ...provenanceWithout(error.kind) }
    }
  }

  return {
    async tags(repository, { n = localPage, last }, signal) {
      const { upstream, repository: name } = repository
      const page = { n, ...(last !== undefined && { last }) }
      if (upstream) {
        const pushed = repository.asUpstream ? { items: [] } : await own.tags(name, n, last, 'own')
        return mirroredTags({ ...repository, upstream }, page, pushed, signal)
      }
      const { items, ...rest } = await own.tags(name, n, last)
      if (items.length === 0 && !(await metadata.links.isUsed(name))) throw new RegistryError('NAME_UNKNOWN')
      return { tags: items, ...rest, source: 'hit' }
    },
    referrers: createListReferrers(options),
  }
}

function together(pushed: Page<string>, { tags, ...end }: Omit<TagsAnswer, 'source'>, n: number) {
  const itself = (tag: string) => tag
  const { items, ...rest } = cutPage(mergePages(pushed, { items: tags, ...end }, itself), n, itself)
  return { tags: items, ...rest }
}

function toName(error: UpstreamError): unknown {
  const known = error.kind === 'absent' || error.kind === 'refused'
  return known ? new RegistryError('NAME_UNKNOWN', { cause: error }) : answerFor(error, 'MANIFEST_UNKNOWN')
}
