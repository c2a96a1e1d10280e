import type { Sample } from './summary.ts'

/** Measures everything once a round, every other round in reverse, so that none is always the one after another. */
export async function inRounds<Subject extends { readonly name: string }>(
  runs: number,
  subjects: readonly Subject[],
  measure: (subject: Subject, round: number) => Promise<Sample['values']>,
): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let round = 0; round < runs; round++) {
    const order = round % 2 === 0 ? subjects : subjects.toReversed()
    for (const subject of order) {
      process.stderr.write(`  round ${round + 1} of ${runs}: ${subject.name}\n`)
      samples.push({ server: subject.name, values: await measure(subject, round) })
    }
  }
  return samples
}
