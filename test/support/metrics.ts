import { samplesOf } from '../../src/doctor/node/exposition.ts'

/**
 * The sum of all samples of `name` that have these labels; 0 when the metric is declared and has none.
 * @throws for a name that nobody has declared: it would be a typing error that looks like a zero.
 */
export function sumOf(
  exposition: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const samples = samplesOf(exposition).filter((sample) => sample.name === name)
  if (samples.length === 0 && !exposition.includes(`# TYPE ${name} `))
    throw new Error(`no metric is called ${name}`)
  return samples
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0)
}
