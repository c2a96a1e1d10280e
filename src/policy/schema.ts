import * as z from 'zod'
import { kinds } from './kinds.ts'
import type { FieldPath } from './problem.ts'

type Schema = z.core.JSONSchema.BaseSchema

const anyDocument = z
  .discriminatedUnion('kind', [kinds.registry, kinds.project, kinds.cache, kinds.calendar, kinds.gc])
  .meta({ title: 'Outport policies', description: 'One document of the policies folder' })

/** JSON schema of a document, for editors: draft 7, which is what YAML language servers know best. */
export function policySchema(): object {
  return schemaOf(anyDocument)
}

export function schemaOf(type: z.ZodType): Schema {
  return z.toJSONSchema(type, { io: 'input', target: 'draft-7' })
}

/** The names of the fields of the mapping at `path`. */
export function fieldsAt(schema: Schema | boolean | undefined, path: FieldPath): string[] {
  if (typeof schema !== 'object') return []
  if (schema.anyOf) return schema.anyOf.flatMap((each) => fieldsAt(each, path))
  const [step, ...rest] = path
  if (step === undefined) return Object.keys(schema.properties ?? {})
  if (typeof step === 'number') return Array.isArray(schema.items) ? [] : fieldsAt(schema.items, rest)
  return fieldsAt(schema.properties?.[String(step)], rest)
}
