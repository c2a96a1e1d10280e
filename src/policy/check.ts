import type * as z from 'zod'
import { either } from './fields.ts'
import { describeFound, describeUnknownField } from './found.ts'
import { isKind, type Kind, kinds } from './kinds.ts'
import { nearest } from './nearest.ts'
import { type FieldPath, formatField, type Problem } from './problem.ts'
import { fieldsAt, schemaOf } from './schema.ts'
import { type Source, valueAt } from './source.ts'

/** A document whose fields are right by themselves; what they refer to is not yet looked at. */
export type Checked<Only extends Kind = Kind> = {
  [Each in Only]: { kind: Each; body: z.output<(typeof kinds)[Each]>; source: Source }
}[Only]

const maxUnknownFields = 10

export function checkSource(source: Source): { checked: Checked } | { problems: Problem[] } {
  const kind = valueAt(source.value, ['kind'])
  if (!isKind(kind)) return { problems: [wrongKind(source, kind)] }
  const result = parseAs(kind, source)
  if ('checked' in result) return result
  return { problems: result.issues.flatMap((issue) => problemsOf(source, kind, issue)) }
}

type Issue = z.core.$ZodIssue

function parseAs<Each extends Kind>(kind: Each, source: Source): { checked: Checked } | { issues: Issue[] } {
  const schema: z.ZodType = kinds[kind]
  const result = schema.safeParse(source.value)
  if (!result.success) return { issues: result.error.issues }
  return { checked: { kind, body: result.data, source } as Checked }
}

function wrongKind(source: Source, kind: unknown): Problem {
  const isMapping = typeof source.value === 'object' && source.value !== null && !Array.isArray(source.value)
  const known = Object.keys(kinds)
  return {
    ...source.spot(['kind']),
    field: isMapping ? 'kind' : '',
    expected: isMapping ? either(known) : `a mapping with kind: ${either(known)}`,
    found: describeFound(isMapping ? ['kind'] : [], isMapping ? kind : source.value),
    ...meant(typeof kind === 'string' ? nearest(kind, known) : undefined),
  }
}

function problemsOf(source: Source, kind: Kind, issue: Issue, above: FieldPath = []): Problem[] {
  const path = [...above, ...issue.path]
  if (issue.code === 'unrecognized_keys') return unknownFields(source, kind, path, issue.keys)
  if (issue.code === 'invalid_union') {
    const branch = meantBranch(issue.errors, valueAt(source.value, path))
    if (branch) return branch.flatMap((inner) => problemsOf(source, kind, inner, path))
  }
  const value = valueAt(source.value, path)
  const words = issue.code === 'invalid_value' ? issue.values.filter((word) => typeof word === 'string') : []
  return [
    {
      ...source.spot(path),
      field: formatField(path),
      expected: issue.message,
      found: describeFound(path, value),
      ...meant(typeof value === 'string' ? nearest(value, words) : undefined),
    },
  ]
}

/** The one way to write a field that was tried, when what is wrong lies inside a mapping or a list. */
function meantBranch(branches: readonly Issue[][], value: unknown): Issue[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const isOther = ({ code, path }: Issue) =>
    path.length === 0 && (code === 'invalid_type' || code === 'invalid_value')
  const tried = branches.filter((issues) => !issues.some(isOther))
  return tried.length === 1 ? tried[0] : undefined
}

function unknownFields(source: Source, kind: Kind, parent: FieldPath, names: readonly string[]): Problem[] {
  const known = fieldsAt(schemaOf(kinds[kind]), parent)
  return names.slice(0, maxUnknownFields).map((name) => ({
    ...source.spot([...parent, name], 'name'),
    field: formatField(parent),
    expected: `one of the fields ${known.join(', ')}`,
    found: describeUnknownField(parent, name),
    ...meant(nearest(name, known)),
  }))
}

function meant(name: string | undefined): { nearest?: string } {
  return name === undefined ? {} : { nearest: name }
}
