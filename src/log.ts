import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino'

/** JSON lines on standard output. Nothing that came as a credential is ever given to it. */
export type Logger = PinoLogger

export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: undefined,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: errorOf },
  }
  return destination ? pino(options, destination) : pino(options)
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
