import type { Answer } from './question.ts'
import type { Bound, Verdict } from './requirement.ts'
import { type Column, type Sample, spreadOf, valuesOf } from './summary.ts'
import { aligned, formatSpread } from './table.ts'

/** A line a figure under the title of its section, a column a server; beside it what is required and whether it holds. */
export function formatSections(answer: Answer): string {
  const { columns, samples, sections = [], known = [], verdicts = [] } = answer
  const measured = namesOf(samples)
  const others = namesOf(known)
  const lineOf = (column: Column): string[] => [
    `  ${column.title}`,
    ...verdictCells(verdicts.find(({ key }) => key === column.key)),
    ...measured.map((name) => cellOf(column, samples, name)),
    ...others.map((name) => cellOf(column, known, name)),
  ]
  const parts = sections.map(({ title, keys }) => ({
    title,
    lines: columns.filter(({ key }) => keys.includes(key)).map(lineOf),
  }))
  const head = ['', 'required', 'holds', ...measured, ...others.map((name) => `${name} *`)]
  // All at once, so that the columns of all sections stand below each other.
  const [top, ...rows] = aligned([head, ...parts.flatMap(({ lines }) => lines)]).split('\n')
  return [top, ...parts.flatMap(({ title, lines }) => [title, ...rows.splice(0, lines.length)])].join('\n')
}

function namesOf(samples: readonly Sample[]): string[] {
  return [...new Set(samples.map(({ server }) => server))]
}

function cellOf({ key, digits }: Column, samples: readonly Sample[], server: string): string {
  const spread = spreadOf(valuesOf(samples, server, key))
  return spread ? formatSpread(spread, digits) : '–'
}

function verdictCells(verdict: Verdict | undefined): [string, string] {
  if (!verdict) return ['', '']
  return [textOf(verdict.bound), verdict.holds ? 'yes' : 'NO']
}

function textOf({ of, atMost, atLeast }: Bound): string {
  const limits = [
    ...(atLeast === undefined ? [] : [`≥ ${atLeast}`]),
    ...(atMost === undefined ? [] : [`≤ ${atMost}`]),
  ]
  const text = atLeast === atMost ? `= ${atMost}` : limits.join(', ')
  return of === 'ratio' ? `${text} × ref.` : text
}
