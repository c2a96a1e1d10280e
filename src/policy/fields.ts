import * as z from 'zod'
import { type Pattern, parsePattern } from '../oci/pattern.ts'
import { isNameComponent } from '../oci/reference.ts'
import { aHost, aHostAndPort, parseHostAndPort, parseHostName } from './hosts.ts'
import {
  aDuration,
  aPercentage,
  aRate,
  aSize,
  durationPattern,
  parseDuration,
  parsePercentage,
  parseRate,
  parseSize,
  percentagePattern,
  ratePattern,
  sizePattern,
} from './units.ts'

// Every message of these schemas is what would have been right, to stand after "expected".

/** A text that `parse` turns into a value; its SyntaxError says what was expected. */
export function text<Value>(expected: string, parse: (text: string) => Value, pattern?: string) {
  return z
    .string({ error: expected })
    .transform((value, context): Value => {
      try {
        return parse(value)
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        context.issues.push({ code: 'custom', message: error.message, input: value })
        return z.NEVER
      }
    })
    .meta(pattern === undefined ? {} : { pattern })
}

export function mapping<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'a mapping' : undefined),
  })
}

export function list<Item extends z.ZodType>(item: Item, expected: string) {
  return z.array(item, { error: expected }).max(1000, { error: 'at most 1000 entries' })
}

export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, { error: either(words) })
}

/** `a, b or c` */
export function either(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

export function count(least: number, most: number) {
  const error = `a whole number from ${least} to ${most}`
  return z.int({ error }).min(least, { error }).max(most, { error })
}

export const flag = z.boolean({ error: 'true or false' })

/** Milliseconds. */
export const duration = text(aDuration, parseDuration, durationPattern)

/** Milliseconds, as a timer can wait. */
export const timeout = text(aTimeout(), parseTimeout, durationPattern)

/** Bytes. */
export const size = text(aSize, parseSize, sizePattern)

/** Bytes a second. */
export const rate = text(aRate, parseRate, ratePattern)

/** A fraction. */
export const percentage = text(aPercentage, parsePercentage, percentagePattern)

export const pattern = text('a pattern such as library/**', parseGlob)

export const host = text(aHost, parseHostName)
export const hostAndPort = text(aHostAndPort, parseHostAndPort)

const nameGrammar = '[A-Za-z0-9][A-Za-z0-9._-]{0,127}'

/** Of a registry or a calendar. */
export const name = text(
  'a name of letters, digits, ".", "_" and "-"',
  grammar(nameGrammar, 'a name of letters, digits, ".", "_" and "-"'),
  `^${nameGrammar}$`,
)

/** A project is the first component of the names of its repositories. */
export const projectName = text('a name such as docker.io: lower case, no slash', (value) => {
  if (!isNameComponent(value)) throw new SyntaxError('a name such as docker.io: lower case, no slash')
  return value
})

export const filePath = text('the path of a file', (value) => {
  if (value === '' || value.includes('\0')) throw new SyntaxError('the path of a file')
  if (value.includes('-----BEGIN')) throw new SyntaxError('the path of a PEM file, not its content')
  return value
})

export function grammar(expression: string, expected: string): (value: string) => string {
  const whole = new RegExp(`^(?:${expression})$`)
  return (value) => {
    if (!whole.test(value)) throw new SyntaxError(expected)
    return value
  }
}

function parseGlob(value: string): Pattern {
  try {
    return parsePattern(value)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new SyntaxError(`a pattern such as library/** (${error.message})`)
  }
}

function aTimeout(): string {
  return 'a duration such as 10s, up to 1h'
}

function parseTimeout(value: string): number {
  const ms = parseDuration(value)
  if (ms < 1 || ms > 3_600_000) throw new SyntaxError(aTimeout())
  return ms
}
