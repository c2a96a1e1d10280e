import type { UpstreamLimit } from '../upstream/registry-client.ts'
import type { Eviction, Explanation } from './explain.ts'
import { formatAge, formatBytes } from './format.ts'
import type { DoorName } from './names.ts'

const mostMissing = 10

type Row = [name: string, value: string]

/** @param now milliseconds since 1970 */
export function formatExplanation(explanation: Explanation, now: number): string {
  const { image, names, project, upstream, cache, eviction } = explanation
  const rows = [
    ...row('image', image),
    ...row('served', names.length === 0 ? 'to nobody: it is not public' : undefined),
    ...names.flatMap((name) => row('served', formatName(name))),
    ...row('project', formatProject(project)),
    ...row('rules', project.kind === 'hosted' ? undefined : formatRules(project)),
    ...(upstream ? formatUpstream(upstream) : []),
    ...formatCache(cache, now),
    ...row('eviction', formatEviction(eviction)),
  ]
  return rows.map(([name, value]) => `${name.padEnd(9)} ${value}\n`).join('')
}

function row(name: string, value: string | undefined): Row[] {
  return value === undefined ? [] : [[name, value]]
}

function formatName({ face, url, name, ns }: DoorName): string {
  const where =
    face === 'as' ? `under the name ${url}` : `at the ${face} door${url === undefined ? '' : ` ${url}`}`
  return `${where}, as ${name}${ns === undefined ? '' : ` with ns=${ns}`}`
}

function formatProject({ name, kind, isPublic }: Explanation['project']): string {
  return `${name}, ${kind}, ${isPublic ? 'public' : 'not public'}`
}

function formatRules({ freshness, stale, prefetch }: Explanation['project']): string {
  return [
    ...(freshness ? [`a tag such as ${freshness.tag} is fresh for ${formatDuration(freshness.forMs)}`] : []),
    stale.when === 'never'
      ? 'never served stale'
      : `stale on ${stale.when} for ${formatDuration(stale.forMs)}`,
    ...(prefetch ? ['prefetched'] : []),
  ].join('; ')
}

function formatUpstream(upstream: NonNullable<Explanation['upstream']>): Row[] {
  const { registry, urls, repository, isDown, limits } = upstream
  const state = isDown ? 'does not answer' : 'answers, as far as is known'
  const budget = ({ kind, remaining, limit, limitedForMs }: UpstreamLimit) => {
    const left = remaining === undefined ? [] : [`${remaining} of ${limit} requests left`]
    const pause = limitedForMs === undefined ? [] : [`not asked for ${formatDuration(limitedForMs)}`]
    return `${kind}s: ${[...left, ...pause].join(', ')}`
  }
  return [
    ...row('upstream', `${registry} (${urls.join(', ')}), ${repository}; ${state}`),
    ...limits.flatMap((limit) => row('budget', budget(limit))),
  ]
}

const withheldWords = {
  absent: 'upstream says that there is none',
  refused: 'upstream does not give it to us',
} as const

const tagWords = {
  'this site': 'pushed here: upstream is not asked for it',
  upstream: 'as upstream has it',
} as const

function formatCache(cache: Explanation['cache'], now: number): Row[] {
  const { digest, isWhole, bytes, parts, missing, tagOf, checkedAt, freshUntil, withheld, usedAt } = cache
  const ago = (iso: string) => `${formatAge(now - Date.parse(iso))} ago`
  const count = isWhole ? `whole: ${parts} parts` : `${parts - missing.length} of ${parts} parts`
  const more = missing.length - mostMissing
  const until = freshUntil === undefined ? 'no more' : `until ${freshUntil}`
  return [
    ...row('tag', tagOf && tagWords[tagOf]),
    ...row('digest', digest ?? 'nothing is known of it'),
    ...row('here', digest && `${count}, ${formatBytes(bytes)}`),
    ...missing
      .slice(0, mostMissing)
      .flatMap((part) => row('missing', `${part.kind} ${part.digest}, ${formatBytes(part.bytes)}`)),
    ...row('missing', more > 0 ? `and ${more} more` : undefined),
    ...row('withheld', withheld && withheldWords[withheld]),
    ...row('fresh', checkedAt && `${until}; confirmed ${ago(checkedAt)}`),
    ...row('used', usedAt && ago(usedAt)),
  ]
}

function formatEviction(eviction: Eviction): string {
  switch (eviction.kind) {
    case 'absent':
      return 'nothing of it is here'
    case 'pinned':
      return `never: it is pinned by ${eviction.pattern} (${eviction.from})`
    case 'kept':
      return `never: it was ${eviction.origin} here`
    case 'in use':
      return 'not now: it is in use'
    case 'evictable': {
      const { afterBytes, at } = eviction
      const age = at === undefined ? '' : `; in any case at ${at}, if nobody uses it before`
      return `when room is needed, after ${formatBytes(afterBytes)} that were not used for longer${age}`
    }
    default:
      return eviction satisfies never
  }
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** As policies write it, in the largest unit that fits. */
function formatDuration(ms: number): string {
  const [unit, unitMs] = units.find(([, each]) => ms >= each && ms % each === 0) ?? ['s', 1000]
  return `${Math.ceil(ms / unitMs)}${unit}`
}
