import { quote } from '../policy/found.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The parsed value of a variable; `undefined` when it is not set, empty, or wrong, which is then a problem. */
export type Read = <Value>(name: string, parse: (text: string) => Value) => Value | undefined

export function createReader(env: Environment, problems: string[]): Read {
  return (name, parse) => {
    const text = env[name]
    if (!text) return undefined
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      problems.push(`${name}: expected ${error.message}, found ${quote(text)}`)
      return undefined
    }
  }
}

/** For values that are one of a few words. */
export function oneOf<const Words extends readonly string[]>(words: Words): (text: string) => Words[number] {
  return (text) => {
    if (!words.includes(text)) throw new SyntaxError(`one of ${words.join(', ')}`)
    return text
  }
}

/** A property that is only there with a value. */
export function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { [Each in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [Each in Name]?: Value })
}
