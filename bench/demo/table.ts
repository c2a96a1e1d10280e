export interface Row {
  what: string
  seconds: number
  /** Blob bytes; `undefined` when there is no upstream to ask. */
  upstreamBytes: number | undefined
  /** Of the image. */
  imageBytes: number
  ok: boolean
}

/** Aligned columns for a terminal. */
export function formatTable(rows: readonly Row[]): string {
  const cells = rows.map(({ what, seconds, upstreamBytes, imageBytes, ok }) => [
    what,
    seconds.toFixed(2),
    upstreamBytes === undefined
      ? 'cut off'
      : `${formatMiB(upstreamBytes)} = ${timesOf(upstreamBytes, imageBytes)}`,
    ok ? 'yes' : 'NO',
  ])
  const lines = [['what', 'seconds', 'from upstream', 'ok'], ...cells]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, at) => aligned(cell, at, widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function timesOf(bytes: number, wholeBytes: number): string {
  return `${(bytes / wholeBytes).toFixed(2)}×`
}

export function formatMiB(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}

/** Words to the left, numbers to the right. */
function aligned(cell: string, column: number, width: number): string {
  return column === 1 || column === 2 ? cell.padStart(width) : cell.padEnd(width)
}
