import type { Checked } from './check.ts'
import { describeFound, quote } from './found.ts'
import { isKind, type Kind } from './kinds.ts'
import { nearest } from './nearest.ts'
import { type FieldPath, formatField, formatPlace, type Problem } from './problem.ts'
import { nsOf } from './registries.ts'
import { type Source, valueAt } from './source.ts'

/** What two documents claim and only one can have. */
export function checkConflicts(sources: readonly Source[], documents: readonly Checked[]): Problem[] {
  const registries = documents.filter((document) => document.kind === 'registry')
  return [
    ...conflicts(sources.flatMap(nameClaim)),
    ...conflicts(registries.map(nsClaim)),
    ...conflicts(registries.flatMap(serveAsClaims)),
  ]
}

/** Names that no document has. One that is broken still counts as there, so that one mistake is told once. */
export function checkNames(sources: readonly Source[], documents: readonly Checked[]): Problem[] {
  return documents.flatMap((document) => danglingNames(sources, document))
}

/** Something that only one field of the site may say. */
interface Claim {
  /** Those of one kind of names are apart from those of another. */
  space: string
  key: string
  source: Source
  path: FieldPath
  what: string
}

function conflicts(claims: readonly Claim[]): Problem[] {
  const first = new Map<string, Claim>()
  return claims.flatMap((claim) => {
    const { space, key, source, path, what } = claim
    const earlier = first.get(`${space} ${key}`)
    if (!earlier) {
      first.set(`${space} ${key}`, claim)
      return []
    }
    const taken = formatPlace(earlier.source.spot(earlier.path))
    const found = `${quote(key)}, which ${taken} has too`
    return [{ ...source.spot(path), field: formatField(path), expected: what, found }]
  })
}

function nameClaim(source: Source): Claim[] {
  const [kind, name] = [valueAt(source.value, ['kind']), valueAt(source.value, ['name'])]
  if (!isKind(kind)) return []
  if (kind === 'cache' || kind === 'gc')
    return [{ space: kind, key: kind, source, path: ['kind'], what: `one ${kind} document a site` }]
  return typeof name === 'string'
    ? [{ space: kind, key: name, source, path: ['name'], what: `a name that no other ${kind} has` }]
    : []
}

function nsClaim({ body, source }: Checked<'registry'>): Claim {
  const path = body.ns === undefined ? ['name'] : ['ns']
  return {
    space: 'ns',
    key: nsOf(body),
    source,
    path,
    what: 'an ns that no other registry has (the default is the host of the url)',
  }
}

function serveAsClaims({ body, source }: Checked<'registry'>): Claim[] {
  const what = 'a host name that no other registry is served as'
  return body.serveAs.map((key, at) => ({ space: 'serveAs', key, source, path: ['serveAs', at], what }))
}

function danglingNames(sources: readonly Source[], { kind, body, source }: Checked): Problem[] {
  if (kind === 'project' && body.proxy) {
    const isWhole = typeof valueAt(source.value, ['proxy']) === 'string'
    return unlessNamed(sources, 'registry', source, isWhole ? ['proxy'] : ['proxy', 'registry'])
  }
  if (kind === 'registry' && body.bandwidth?.kind === 'calendar') {
    return unlessNamed(sources, 'calendar', source, ['bandwidth'])
  }
  return []
}

const expectedNames = {
  registry: 'the name of a registry document',
  calendar: 'a rate such as 20MiB/s or the name of a calendar document',
}

function unlessNamed(
  sources: readonly Source[],
  kind: Kind & keyof typeof expectedNames,
  source: Source,
  path: FieldPath,
): Problem[] {
  const names = sources
    .filter(({ value }) => valueAt(value, ['kind']) === kind)
    .map(({ value }) => String(valueAt(value, ['name']) ?? ''))
  const name = valueAt(source.value, path)
  if (typeof name !== 'string' || names.includes(name)) return []
  const close = nearest(name, names)
  return [
    {
      ...source.spot(path),
      field: formatField(path),
      expected: expectedNames[kind],
      found: describeFound(path, name),
      ...(close !== undefined && { nearest: close }),
    },
  ]
}
