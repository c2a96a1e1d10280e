import {
  type Document,
  type ErrorCode,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParseOptions,
  parseAllDocuments,
  type SchemaOptions,
} from 'yaml'
import { describeUnknownField } from './found.ts'
import { type FieldPath, formatField, type Place, type Problem } from './problem.ts'
import { createSource, type Source, wholeFile } from './source.ts'

export const maxFileBytes = 1024 * 1024
const maxAliasCount = 100

const options: ParseOptions & SchemaOptions = {
  // Its own check compares every name with every other.
  uniqueKeys: false,
  stringKeys: true,
  prettyErrors: false,
  resolveKnownTags: false,
  schema: 'core',
}

/** The library's own sentences quote what was written, and that may be a password with a `*` or `!` before it. */
const wrong: Partial<Record<ErrorCode, string>> = {
  BAD_ALIAS: 'a broken alias (a text that begins with "*" needs quotes)',
  BAD_COLLECTION_TYPE: 'a type that does not fit its value',
  BAD_DIRECTIVE: 'an unknown directive',
  BAD_DQ_ESCAPE: 'an unknown escape in double quotes',
  BAD_INDENT: 'a line that is not indented as what it belongs to',
  BAD_SCALAR_START: 'a text that needs quotes because of its first character',
  BLOCK_AS_IMPLICIT_KEY: 'a mapping where a plain value belongs (a text with ": " needs quotes)',
  BLOCK_IN_FLOW: 'indented lines inside brackets',
  KEY_OVER_1024_CHARS: 'a name of more than 1024 characters',
  MISSING_CHAR: 'a line without the character it needs here, such as ":", a quote or a bracket',
  MULTILINE_IMPLICIT_KEY: 'a name that goes over several lines',
  NON_STRING_KEY: 'a name that is no text',
  RESOURCE_EXHAUSTION: 'too many levels',
  TAB_AS_INDENT: 'a tab where blanks indent',
  TAG_RESOLVE_FAILED: 'an unknown type (a text that begins with "!" needs quotes)',
  UNEXPECTED_TOKEN: 'a character that has no place here',
}

/** The documents of one file. Never throws: whatever is not YAML of ours is a problem with its place. */
export function parseYaml(file: string, text: string): { sources: Source[]; problems: Problem[] } {
  try {
    const lines = new LineCounter()
    const read = parseAllDocuments(text, { ...options, lineCounter: lines })
    const documents = Array.isArray(read) ? read.map((document) => readDocument(file, document, lines)) : []
    return {
      sources: documents.flatMap(({ source }) => source ?? []),
      problems: documents.flatMap(({ problems }) => problems),
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return { sources: [], problems: [tooDeep(wholeFile(file))] }
  }
}

function readDocument(
  file: string,
  document: Document,
  lines: LineCounter,
): { source?: Source; problems: Problem[] } {
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { file, line, column: col }
  }
  const [first] = [...document.errors, ...document.warnings]
  if (first) {
    const found = wrong[first.code] ?? 'something else'
    return { problems: [{ ...place(first.pos[0]), field: '', expected: 'YAML', found }] }
  }
  const problems = duplicateNames(document.contents).map(
    ({ path, offset }): Problem => ({
      ...place(offset),
      field: formatField(path.slice(0, -1)),
      expected: 'each field once',
      found: `${describeUnknownField(path.slice(0, -1), String(path.at(-1))).replace('unknown ', '')} twice`,
    }),
  )
  if (problems.length > 0) return { problems }

  const at = place(document.contents?.range?.[0] ?? 0)
  try {
    const value: unknown = document.toJS({ maxAliasCount })
    return value === null ? { problems } : { source: createSource(file, document, lines, value), problems }
  } catch (error) {
    if (error instanceof RangeError) return { problems: [tooDeep({ ...at, field: '' })] }
    if (!(error instanceof ReferenceError)) throw error
    const found = 'an alias without its anchor, or aliases that unfold to far more than was written'
    return { problems: [{ ...at, field: '', expected: `YAML with at most ${maxAliasCount} aliases`, found }] }
  }
}

function tooDeep(spot: Place & { field: string }): Problem {
  return { ...spot, expected: 'YAML', found: 'too many levels' }
}

function duplicateNames(node: Node | null, path: FieldPath = []): { path: FieldPath; offset: number }[] {
  if (isSeq<Node>(node)) return node.items.flatMap((item, at) => duplicateNames(item, [...path, at]))
  if (!isMap<Node, Node | null>(node)) return []
  const seen = new Set<string>()
  return node.items.flatMap(({ key, value }) => {
    const name = isScalar(key) ? String(key.value) : ''
    const inside = duplicateNames(value, [...path, name])
    if (!seen.has(name)) {
      seen.add(name)
      return inside
    }
    return [{ path: [...path, name], offset: key.range?.[0] ?? 0 }, ...inside]
  })
}
