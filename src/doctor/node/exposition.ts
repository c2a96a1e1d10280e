/** One line of the Prometheus text format. */
export interface Sample {
  name: string
  labels: Readonly<Record<string, string>>
  value: number
}

/** @param exposition the text of `/metrics` */
export function samplesOf(exposition: string): Sample[] {
  return exposition.split('\n').flatMap(sampleOf)
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
