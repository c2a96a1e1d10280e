import { messageOf } from '../../src/flow/message-of.ts'
import type { Part, Section } from './question.ts'
import type { Figure } from './requirement.ts'
import { inRounds } from './rounds.ts'
import type { Sample } from './summary.ts'

/** A part of a question with figures of its own. */
export interface MeasuredPart extends Part {
  readonly figures: readonly Figure[]
}

/** The figures of all parts, each with the number of its part before its key. */
export function columnsOf(parts: readonly MeasuredPart[]): Figure[] {
  return parts.flatMap((part) => part.figures.map((figure) => ({ ...figure, key: keyOf(part, figure.key) })))
}

export function sectionsOf(parts: readonly MeasuredPart[]): Section[] {
  return parts.map((part) => ({
    title: `${part.number}. ${part.asks}`,
    keys: part.figures.map(({ key }) => keyOf(part, key)),
  }))
}

/** Of each server and round one sample with the figures of all parts. @param results the samples of each part */
export function joined(parts: readonly Part[], results: readonly (readonly Sample[])[]): Sample[] {
  const rounds = results.map((samples, at) => prefixed(parts[at], samples))
  const servers = [...new Set(rounds.flat().map(({ server }) => server))]
  return servers.flatMap((server) => {
    const own = rounds.map((samples) => samples.filter((sample) => sample.server === server))
    return (own[0] ?? []).map((_, round) => ({
      server,
      values: Object.assign({}, ...own.map((samples) => samples[round]?.values)),
    }))
  })
}

function prefixed(part: Part | undefined, samples: readonly Sample[]): Sample[] {
  if (!part) return []
  return samples.map(({ server, values }) => ({
    server,
    values: Object.fromEntries(Object.entries(values).map(([key, value]) => [keyOf(part, key), value])),
  }))
}

function keyOf({ number }: Part, key: string): string {
  return `${number}.${key}`
}

export interface PartResults {
  samples: Sample[]
  /** What went so wrong that there are no figures. */
  failures: string[]
}

/** Every subject in every round of each part, for no longer than that may take. */
export async function measureParts<
  Measured extends MeasuredPart & { readonly deadlineMs: number },
  Subject extends { readonly name: string },
>(
  parts: readonly Measured[],
  subjects: readonly Subject[],
  runs: number,
  measure: (part: Measured, subject: Subject, signal: AbortSignal) => Promise<Sample['values']>,
  signal: AbortSignal,
): Promise<PartResults> {
  const failures: string[] = []
  const results: Sample[][] = []
  for (const part of parts) {
    process.stderr.write(`${part.number}. ${part.asks}\n`)
    const samples = await inRounds(runs, subjects, async (subject, round) => {
      try {
        return await measure(part, subject, AbortSignal.any([signal, AbortSignal.timeout(part.deadlineMs)]))
      } catch (error) {
        signal.throwIfAborted()
        const message = messageOf(error)
        failures.push(`${part.number}, round ${round + 1}, ${subject.name}: ${message.trim().split('\n')[0]}`)
        return {}
      }
    })
    results.push(samples)
  }
  return { samples: joined(parts, results), failures: failures.map((failure) => `No figures: ${failure}`) }
}
