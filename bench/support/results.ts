import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import type { Answer, BenchSettings } from './question.ts'
import { spreadOf, valuesOf } from './summary.ts'

export interface Result {
  question: string
  startedAt: Date
  /** Of one minute, before anything was started. */
  loadBefore: number
  settings: BenchSettings
  answer: Answer
}

const folder = join(import.meta.dirname, '../results')

/** @returns the file's path: `file`, or a new one in `bench/results/` */
export async function writeResult(result: Result, file?: string): Promise<string> {
  const moment = result.startedAt.toISOString().replace(/[:.]/g, '-')
  const path = file ?? join(folder, `${result.question}-${moment}.json`)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `${JSON.stringify(documentOf(result), null, 2)}\n`)
  return path
}

function documentOf({ question, startedAt, loadBefore, settings, answer }: Result): object {
  const { runs, quick, blobBytes } = settings
  const servers = [...new Set(answer.samples.map(({ server }) => server))]
  const summary = servers.map((server) => ({
    server,
    ...Object.fromEntries(
      answer.columns.map(({ key }) => [key, spreadOf(valuesOf(answer.samples, server, key))]),
    ),
  }))
  return {
    question,
    startedAt,
    machine: { ...machine(), loadBefore },
    settings: { runs, quick, blobBytes },
    summary,
    ...answer,
  }
}

export function machine(): { processor: string; cores: number; memoryBytes: number; kernel: string } {
  const [first, ...others] = cpus()
  return {
    processor: first?.model ?? 'unknown',
    cores: others.length + 1,
    memoryBytes: totalmem(),
    kernel: release(),
  }
}

export function loadNow(): number {
  return loadavg()[0] ?? 0
}
