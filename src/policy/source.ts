import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair } from 'yaml'
import { isKind } from './kinds.ts'
import type { FieldPath, Place, Spot } from './problem.ts'

/** One document as it was written, with the way back from a field to its place. */
export interface Source {
  value: unknown
  /** The value at `path`, or what stands around the place where it is missing. */
  spot(path: FieldPath, at?: 'value' | 'name'): Place & { document?: string }
}

export function createSource(file: string, document: Document, lines: LineCounter, value: unknown): Source {
  const label = labelOf(value)
  return {
    value,
    spot(path, at = 'value') {
      const { line, col } = lines.linePos(offsetOf(document, path, at))
      return { file, line, column: col, ...(label === undefined ? {} : { document: label }) }
    },
  }
}

/** The value's own property at each step; `undefined` where the path ends early. */
export function valueAt(value: unknown, path: FieldPath): unknown {
  let current = value
  for (const step of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, step)) return undefined
    current = Reflect.get(current, step)
  }
  return current
}

/** A spot for what concerns no single document. */
export function wholeFile(file: string): Spot {
  return { file, field: '' }
}

function labelOf(value: unknown): string | undefined {
  const [kind, name] = [valueAt(value, ['kind']), valueAt(value, ['name'])]
  if (!isKind(kind)) return undefined
  return typeof name === 'string' && /^[\w.-]{1,128}$/.test(name) ? `${kind} "${name}"` : kind
}

function offsetOf(document: Document, path: FieldPath, at: 'value' | 'name'): number {
  let node = document.contents
  let offset = node?.range?.[0] ?? 0
  for (const [depth, step] of path.entries()) {
    const pair = pairAt(document, node, step)
    const inner = pair ? pair.value : itemAt(document, node, step)
    if (!pair && !inner) break
    const shown = pair && (!inner || (at === 'name' && depth === path.length - 1)) ? pair.key : inner
    offset = shown?.range?.[0] ?? offset
    node = inner
  }
  return offset
}

type NodePair = Pair<Node, Node | null>

function pairAt(document: Document, node: Node | null, step: PropertyKey): NodePair | undefined {
  const map = resolved(document, node)
  if (!isMap<Node, Node | null>(map)) return undefined
  return map.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
}

function itemAt(document: Document, node: Node | null, step: PropertyKey): Node | null {
  const sequence = resolved(document, node)
  return isSeq<Node>(sequence) ? (sequence.items[Number(step)] ?? null) : null
}

function resolved(document: Document, node: Node | null): Node | null {
  return isAlias(node) ? (node.resolve(document) ?? null) : node
}
