import { type Pins, pinOf } from '../jobs/pins.ts'
import type { Usage } from '../jobs/usage.ts'
import type { HeldRow, Metadata, PartRow, TagRow } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { formatImageName, parseImageName } from '../oci/image-name.ts'
import { parseTag, type Reference } from '../oci/reference.ts'
import type { Target } from '../projects/locate.ts'
import { targetOfImage } from '../projects/named.ts'
import { isPublic, type Project, type Site } from '../projects/project.ts'
import type { RegistryClients } from '../resolve/clients.ts'
import { freshnessOf } from '../resolve/freshness.ts'
import type { UpstreamLimit } from '../upstream/registry-client.ts'
import { type DoorName, type KnownDoor, namesOf } from './names.ts'

/** All that decides what becomes of a pull of one image, as it is now. */
export interface Explanation {
  /** Under its project's name. */
  image: string
  /** What clients call it, at each door. */
  names: DoorName[]
  project: {
    name: string
    kind: 'hosted' | 'mirror' | 'virtual'
    /** Anybody may pull it. */
    isPublic: boolean
    /** Of a tag: the first rule that matches it. */
    freshness?: { tag: string; forMs: number }
    stale: Project['stale']
    /** Fetched before it is asked for. */
    prefetch: boolean
  }
  upstream?: {
    registry: string
    urls: readonly string[]
    repository: string
    isDown: boolean
    limits: UpstreamLimit[]
  }
  cache: {
    /** Absent: nothing is known of the tag. */
    digest?: Digest
    isWhole: boolean
    bytes: number
    parts: number
    missing: { digest: Digest; kind: PartRow['kind']; bytes: number }[]
    /** Of a tag, ISO 8601. */
    checkedAt?: string
    /** Upstream is asked after this; absent: before the next answer. */
    freshUntil?: string
    /** Of a tag where both may be: whose it is. */
    tagOf?: 'this site' | 'upstream'
    /** Upstream's last word: it has no such tag, or does not give it. */
    withheld?: TagRow['withheld']
    usedAt?: string
  }
  eviction: Eviction
}

export type Eviction =
  | { kind: 'absent' }
  | { kind: 'pinned'; pattern: string; from: 'policies' | 'command' }
  | { kind: 'kept'; origin: string }
  | { kind: 'in use' }
  /** When room is needed: after so many bytes that were not used for longer. `at`: in any case, if nobody uses it before. */
  | { kind: 'evictable'; afterBytes: number; at?: string }

export interface ExplainOptions {
  site(): Site
  /** The default mirror's project. */
  mirror: string
  doors(): readonly KnownDoor[]
  clients: Pick<RegistryClients, 'get'>
  metadata: Metadata
  usage: Pick<Usage, 'isInUse' | 'flush'>
  pins: Pins
}

/** Asks nobody. @throws SyntaxError for what names no image of this site */
export async function explain(options: ExplainOptions, text: string): Promise<Explanation> {
  const site = options.site()
  const name = parseImageName(text)
  const target = targetOfImage(site, options.mirror, name)
  const { reference = { kind: 'tag', tag: parseTag('latest') } } = name
  const { metadata, usage } = options
  // So that what is in use is being read, and not only used a moment ago.
  await usage.flush()
  const row =
    reference.kind === 'tag' ? await metadata.tags.find(target.repository, reference.tag) : undefined
  const digest = reference.kind === 'tag' ? row?.digest : reference.digest
  const parts = digest === undefined ? [] : await metadata.images.parts(digest)
  const [held] = digest === undefined ? [] : await metadata.stored.held([digest])
  const isOurs = held?.links.some(({ repository }) => repository === target.repository) ?? false
  const stored = isOurs ? held : undefined
  return {
    image: formatImageName(target.repository, reference),
    names: namesOf(site, options.mirror, options.doors(), target),
    project: projectOf(target, reference),
    ...upstreamOf(options, target),
    cache: cacheOf(
      target,
      row,
      digest,
      stored ? parts : parts.map((part) => ({ ...part, isHere: false })),
      stored,
    ),
    eviction: await evictionOf(options, stored, parts, target),
  }
}

function projectOf({ project, path }: Target, reference: Reference): Explanation['project'] {
  const { name, proxy, push, stale } = project
  const rule =
    reference.kind === 'tag' && proxy ? project.freshness.find(({ tag }) => tag(reference.tag)) : undefined
  return {
    name,
    kind: proxy ? (push ? 'virtual' : 'mirror') : 'hosted',
    isPublic: isPublic(project, path),
    ...(rule && { freshness: { tag: rule.tag.text ?? '', forMs: rule.forMs } }),
    stale,
    prefetch: project.prefetch !== false,
  }
}

function upstreamOf({ clients }: ExplainOptions, { upstream }: Target): Pick<Explanation, 'upstream'> {
  if (!upstream) return {}
  const { registry, repository } = upstream
  const client = clients.get(registry.name)
  return {
    upstream: {
      registry: registry.name,
      urls: registry.urls,
      repository,
      isDown: client?.isDown() ?? false,
      limits: client?.limits() ?? [],
    },
  }
}

function cacheOf(
  { project }: Target,
  row: TagRow | undefined,
  digest: Digest | undefined,
  parts: readonly PartRow[],
  held: HeldRow | undefined,
): Explanation['cache'] {
  const here = parts.filter(({ isHere }) => isHere)
  const missing = parts.filter(({ isHere }) => !isHere)
  return {
    ...(digest !== undefined && { digest }),
    isWhole: held !== undefined && missing.length === 0,
    bytes: here.reduce((sum, { size }) => sum + size, 0),
    parts: parts.length,
    missing: missing.map((part) => ({ digest: part.digest, kind: part.kind, bytes: part.size })),
    ...(row && freshnessTold(row, project)),
    ...(held && { usedAt: isoOf(held.usedAt) }),
  }
}

function freshnessTold(row: TagRow, { freshness, proxy, push }: Project) {
  const { checkedAt, withheld, own } = row
  if (own) return proxy && { tagOf: 'this site' as const }
  const isFresh = proxy !== undefined && freshnessOf(row, freshness, Date.now()).kind === 'fresh'
  const forMs = freshness.find(({ tag }) => tag(row.tag))?.forMs ?? 0
  return {
    ...(proxy && push && { tagOf: 'upstream' as const }),
    ...(proxy && { checkedAt: isoOf(checkedAt) }),
    ...(isFresh && { freshUntil: isoOf(checkedAt + forMs) }),
    ...(withheld !== undefined && { withheld }),
  }
}

async function evictionOf(
  { metadata, usage, pins, site }: ExplainOptions,
  held: HeldRow | undefined,
  parts: readonly PartRow[],
  { repository }: Target,
): Promise<Eviction> {
  const { cache } = site()
  const names = new Set([repository, ...(held?.links ?? []).map((link) => link.repository)])
  for (const name of names) {
    const byPolicies = pinOf(name, cache.pins)
    const pattern = byPolicies ?? pinOf(name, pins.patterns())
    if (pattern)
      return { kind: 'pinned', pattern: pattern.text ?? '', from: byPolicies ? 'policies' : 'command' }
  }
  if (!held) return { kind: 'absent' }
  const kept = held.links.find(({ origin }) => origin !== 'filled')
  if (kept) return { kind: 'kept', origin: kept.origin }
  if (parts.some(({ digest }) => usage.isInUse(digest))) return { kind: 'in use' }
  return {
    kind: 'evictable',
    afterBytes: await metadata.stored.unusedSince(held.usedAt),
    ...(cache.maxAgeMs !== undefined && { at: isoOf(held.usedAt + cache.maxAgeMs) }),
  }
}

/** A time that no calendar knows is one that never comes. */
function isoOf(ms: number): string {
  return new Date(Math.min(ms, 8.64e15)).toISOString()
}
