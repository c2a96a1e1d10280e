import { parsePattern } from '../oci/pattern.ts'
import type { CacheSettings, GcSettings, Project } from '../projects/project.ts'
import type { CacheDocument } from './cache-document.ts'
import { cacheDocument } from './cache-document.ts'
import { type GcDocument, gcDocument } from './gc-document.ts'
import type { ProjectDocument } from './project-document.ts'

const minuteMs = 60_000

/** After the document's own rules, so that every tag has one. */
const lastRules = [
  { tag: parsePattern('latest'), forMs: 5 * minuteMs },
  { tag: parsePattern('**'), forMs: 60 * minuteMs },
]

const allTags = [parsePattern('**')]

export function compileProject(body: ProjectDocument): Project {
  const own = body.freshness.map((rule) => ({ tag: rule.tag, forMs: rule.for }))
  return Object.freeze({
    name: body.name,
    ...(body.proxy && { proxy: body.proxy }),
    push: body.push ?? body.proxy === undefined,
    shadow: body.shadow ?? allTags,
    public: body.public,
    freshness: [...own, ...lastRules],
    stale: { when: body.stale.when, forMs: body.stale.for },
    prefetch: body.prefetch === true ? { platforms: [] } : body.prefetch,
    sparse: body.sparse,
  })
}

/**
 * @param diskBytes of the disk under the data directory; a budget in percent needs it
 * @param pinsAt where the pins stand
 */
export function compileCache(
  body: CacheDocument,
  diskBytes: number | undefined,
  pinsAt?: string,
): CacheSettings {
  const budget = budgetOf(body.budget, diskBytes)
  return Object.freeze({
    ...(budget !== undefined && { budget }),
    high: body.high,
    low: body.low,
    reserve: body.reserve,
    ...(body.maxAge !== undefined && { maxAgeMs: body.maxAge }),
    pins: body.pins,
    ...(pinsAt !== undefined && { pinsAt }),
    fills: body.fills,
    memory: body.memory,
    scrub: scrubOf(body.scrub),
  })
}

/** What holds where no document says anything. */
export function defaultCache(diskBytes: number | undefined): CacheSettings {
  return compileCache(cacheDocument.parse({ kind: 'cache' }), diskBytes)
}

/** Without a document what holds where it says nothing. */
export function compileGc(body: GcDocument = gcDocument.parse({ kind: 'gc' })): GcSettings {
  const { every, grace, untagged } = body
  return Object.freeze({
    everyMs: typeof every === 'number' ? every : false,
    graceMs: grace,
    ...(untagged !== undefined && { untaggedMs: untagged }),
  })
}

function scrubOf(scrub: CacheDocument['scrub']): CacheSettings['scrub'] {
  if (scrub === false) return false
  if (scrub === true) return { everyMs: 30 * 86_400_000, rate: 16 * 1024 * 1024 }
  return { everyMs: scrub.every, rate: scrub.rate }
}

function budgetOf(budget: CacheDocument['budget'], diskBytes: number | undefined): number | undefined {
  if (budget.kind === 'bytes') return budget.bytes
  return diskBytes === undefined ? undefined : Math.floor(budget.ofDisk * diskBytes)
}
