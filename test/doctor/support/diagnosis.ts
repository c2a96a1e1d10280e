import { join } from 'node:path'
import { readEnvironment } from '../../../src/config/environment.ts'
import type { ClientName } from '../../../src/doctor/clients/client.ts'
import { diagnose as diagnoseHere } from '../../../src/doctor/doctor.ts'
import { parseImage } from '../../../src/doctor/image.ts'
import { policyLoader } from '../../../src/main.ts'
import { outport } from '../../support/command.ts'

export interface Diagnosis {
  /** Codes of mistakes, each once, sorted. */
  mistakes: string[]
  notes: string[]
  /** Codes by client; `ok` where all is well. */
  clients: Record<string, string>
  /** Every line, as a script reads it. */
  lines: Record<string, unknown>[]
}

export interface ExamineOptions {
  /** Default: none, only names are tested. */
  image?: string
  /** Default: a folder that is not there. */
  root?: string
  only?: ClientName[]
  /** PEM. */
  authorities?: string[]
  answerMs?: number
  home?: string
}

const nowhere = join(import.meta.dirname, 'nowhere')

/** What `outport doctor URL` tells, without starting it as a process. */
export function examine(url: string, options: ExamineOptions = {}): Promise<Diagnosis> {
  return examineWith({}, { url: new URL(url) }, options)
}

/** The same of `outport doctor`, for the node that was given this environment. */
export function examineNode(
  environment: Readonly<Record<string, string>>,
  options: ExamineOptions = {},
): Promise<Diagnosis> {
  return examineWith(environment, {}, options)
}

async function examineWith(
  environment: Readonly<Record<string, string>>,
  door: { url?: URL },
  options: ExamineOptions,
): Promise<Diagnosis> {
  const { image, root = nowhere, only = [], authorities = [], answerMs = 5_000, home = '/root' } = options
  const config = readEnvironment(environment, { hostname: 'edge', directory: nowhere })
  const lines: Record<string, unknown>[] = []
  const run = diagnoseHere({
    ...door,
    ...(image !== undefined && { image: parseImage(image) }),
    root,
    only,
    limits: { connectMs: 2_000, answerMs },
    authorities: { more: authorities },
    user: { home, uid: 0 },
    local: { config, hostname: 'edge', loadPolicies: policyLoader(config) },
    signal: AbortSignal.timeout(30_000),
  })
  for await (const line of run) lines.push({ ...line })
  return diagnosisOf(lines)
}

/** Runs `outport doctor --json` to its end. */
export async function diagnose(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  through: readonly string[] = [],
): Promise<Diagnosis & { code: number; stderr: string }> {
  const { code, stdout, stderr } = await outport(['doctor', '--json', ...args], env, through)
  const lines = stdout.split('\n').flatMap((line) => (line ? [JSON.parse(line)] : []))
  return { ...diagnosisOf(lines), code, stderr }
}

function diagnosisOf(lines: Record<string, unknown>[]): Diagnosis {
  const wrong = lines.filter(({ kind, ok }) => kind === 'mistake' || (kind === 'client' && ok === false))
  const codesOf = (some: Record<string, unknown>[]) =>
    [...new Set(some.map(({ code }) => String(code)))].sort()
  const played = lines.filter(({ kind }) => kind === 'client')
  return {
    mistakes: codesOf(wrong),
    notes: codesOf(lines.filter(({ kind }) => kind === 'note')),
    clients: Object.fromEntries(played.map(({ client, ok, code }) => [client, ok ? 'ok' : code])),
    lines,
  }
}
