import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** What can have a level of its own: answers, registries that are asked, blobs on their way, what is stored, and so on. */
export const logParts = [
  'request',
  'upstream',
  'fill',
  'store',
  'jobs',
  'policy',
  'admin',
  'trouble',
] as const
export type LogPart = (typeof logParts)[number]

export interface LogLevels {
  /** For what has none of its own. */
  rest: LogLevel
  parts: Readonly<Partial<Record<LogPart, LogLevel>>>
}

/** JSON lines on standard output. Nothing that came as a credential is ever given to it. */
export interface Logger extends PinoLogger {
  /** Whose lines say so, and which has a level of its own. */
  part(name: LogPart): PinoLogger
}

export function createLogger({ rest, parts }: LogLevels, destination?: DestinationStream): Logger {
  const options = {
    level: rest,
    base: undefined,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: errorOf },
  }
  const log = pino(options, destination ?? standardOutput())
  const children = new Map(
    logParts.map((part) => [part, log.child({ part }, { level: parts[part] ?? rest })]),
  )
  return Object.assign(log, { part: (name: LogPart) => children.get(name) ?? log })
}

/** So much waits for a full disk to have room again; then lines are lost. */
const mostWaiting = 1024 * 1024

/** A log that cannot be written is no reason to stop: there is nobody who could be told. */
function standardOutput(): DestinationStream {
  const output = pino.destination({ fd: 1, sync: true, maxLength: mostWaiting })
  output.on('error', () => {})
  return output
}

/** An error in one line with its causes; the stack only of what nobody expected. */
function errorOf(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error)
  const expected = 'code' in error || 'kind' in error
  return {
    type: error.name,
    message: error.message,
    ...('code' in error && { code: error.code }),
    ...('kind' in error && { kind: error.kind }),
    ...(error.cause !== undefined && { cause: errorOf(error.cause) }),
    ...(!expected && { stack: error.stack }),
  }
}
