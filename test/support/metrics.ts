/** One line of the Prometheus text format. */
export interface Sample {
  name: string
  labels: Readonly<Record<string, string>>
  value: number
}

/**
 * The sum of all samples of `name` that have these labels; 0 when the metric is declared and has none.
 * @throws for a name that nobody has declared: it would be a typing error that looks like a zero.
 */
export function sumOf(
  exposition: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const samples = exposition
    .split('\n')
    .flatMap(sampleOf)
    .filter((sample) => sample.name === name)
  if (samples.length === 0 && !exposition.includes(`# TYPE ${name} `))
    throw new Error(`no metric is called ${name}`)
  return samples
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0)
}

function sampleOf(line: string): Sample[] {
  const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
  if (name === undefined) return []
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', text = '']) => [
    label,
    text,
  ])
  return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }]
}
