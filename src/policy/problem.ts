/** Where in the policies folder something stands. */
export interface Place {
  file: string
  /** From 1; absent where the whole file or folder is meant. */
  line?: number
  column?: number
}

/** A place, and which field of which document that is. */
export interface Spot extends Place {
  /** `project "docker.io"`, as far as the document says it. */
  document?: string
  /** `freshness[0].for`; empty for the document as a whole. */
  field: string
}

/** Why a folder is not applied. No part of it ever holds a secret. */
export interface Problem extends Spot {
  expected: string
  found: string
  /** What was probably meant. */
  nearest?: string
}

/** What the operator should know about a folder that is applied. */
export interface Warning extends Spot {
  message: string
}

export type FieldPath = readonly PropertyKey[]

/** `policies/hub.yaml:7:3 project "docker.io" › freshness[0].for: expected a duration such as 5m, found "5 minuts"` */
export function formatProblem(problem: Problem): string {
  const hint = problem.nearest === undefined ? '' : `; did you mean ${JSON.stringify(problem.nearest)}?`
  return `${formatSpot(problem)}: expected ${problem.expected}, found ${problem.found}${hint}`
}

export function formatWarning(warning: Warning): string {
  return `${formatSpot(warning)}: ${warning.message}`
}

export function formatPlace({ file, line, column }: Place): string {
  return line === undefined ? file : `${file}:${line}:${column ?? 1}`
}

/** `['freshness', 0, 'for']` → `freshness[0].for` */
export function formatField(path: FieldPath): string {
  return path
    .map((step, at) => (typeof step === 'number' ? `[${step}]` : `${at ? '.' : ''}${String(step)}`))
    .join('')
}

function formatSpot(spot: Spot): string {
  const names = [spot.document, spot.field].filter((name) => name)
  return [formatPlace(spot), names.join(' › ')].filter((part) => part).join(' ')
}
