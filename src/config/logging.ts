import { type LogLevel, type LogLevels, type LogPart, logLevels, logParts } from '../log.ts'
import { aDuration, parseDuration } from '../policy/units.ts'

/** Which answers stand in the log, beside those that failed or were slow: one in so many, 0 for none. */
export interface AccessLog {
  oneIn: number
}

/** `info,upstream=debug,fill=trace`: the one without a part, if any, is for the rest. @throws SyntaxError */
export function parseLogLevels(text: string): LogLevels {
  let rest: LogLevel | undefined
  const parts: Partial<Record<LogPart, LogLevel>> = {}
  for (const item of text.split(',').map((each) => each.trim())) {
    const [level = '', part, ...more] = item.split('=').reverse()
    const isKnown = isOneOf(logLevels, level) && (part === undefined || isOneOf(logParts, part))
    const isSaid = part === undefined ? rest !== undefined : part in parts
    if (!isKnown || isSaid || more.length > 0) throw new SyntaxError(levelsExpected)
    if (part === undefined) rest = level
    else parts[part] = level
  }
  return Object.freeze({ rest: rest ?? 'info', parts: Object.freeze(parts) })
}

const levelsExpected = `levels such as info or info,upstream=debug, each once, of ${logLevels.join(', ')}; the parts are ${logParts.join(', ')}`

/** @throws SyntaxError */
export function parseAccessLog(text: string): AccessLog {
  if (text === 'all') return { oneIn: 1 }
  if (text === 'errors') return { oneIn: 0 }
  const oneIn = Number(/^1\/([1-9]\d{0,8})$/.exec(text)?.[1])
  if (Number.isNaN(oneIn)) throw new SyntaxError('all, errors, or a fraction such as 1/100')
  return { oneIn }
}

/** @returns milliseconds @throws SyntaxError */
export function parseSlowRequest(text: string): number {
  if (text === 'off') return Number.POSITIVE_INFINITY
  try {
    return parseDuration(text)
  } catch {
    throw new SyntaxError(`${aDuration}, or off`)
  }
}

function isOneOf<Word extends string>(words: readonly Word[], text: string): text is Word {
  return (words as readonly string[]).includes(text)
}
