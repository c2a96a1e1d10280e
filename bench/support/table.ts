import { type Column, ratioOf, type Sample, type Spread, spreadOf, valuesOf } from './summary.ts'

/** A row a server in the order of first appearance; each value as its median and its range. */
export function formatTable(
  columns: readonly Column[],
  samples: readonly Sample[],
  reference: string,
): string {
  const servers = [...new Set(samples.map(({ server }) => server))]
  const hasReference = servers.includes(reference)
  const shown = columns.map((column) => ({ ...column, compared: hasReference && column.compared === true }))
  const head = shown.flatMap(({ title, compared }) => (compared ? [title, 'ratio'] : [title]))
  const rows = servers.map((server) => [
    server,
    ...shown.flatMap((column) => cellsOf(column, samples, server, reference)),
  ])
  return aligned([['', ...head], ...rows])
}

function cellsOf(
  { key, digits, compared }: Column,
  samples: readonly Sample[],
  server: string,
  reference: string,
): string[] {
  const spread = spreadOf(valuesOf(samples, server, key))
  if (!spread) return compared ? ['–', '–'] : ['–']
  const cell = formatSpread(spread, digits)
  if (!compared) return [cell]
  const ratio = server === reference ? undefined : ratioOf(samples, key, server, reference)
  return [cell, ratio === undefined ? '' : ratio.toFixed(2)]
}

export function formatSpread(spread: Spread, digits: number): string {
  const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => value.toFixed(digits))
  return min === max ? `${median}` : `${median} (${min}–${max})`
}

export function aligned(lines: readonly string[][]): string {
  const widths = (lines[0] ?? []).map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
