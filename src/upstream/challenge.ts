/** One challenge of a `WWW-Authenticate` header: RFC 9110 §11.6.1. Names are in lower case. */
export interface Challenge {
  scheme: string
  parameters: ReadonlyMap<string, string>
}

const separators = /[\s,]*/y
const parameter =
  /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z:/?-]+))/y
const scheme = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y

/** Several headers, several challenges in one header, quoted strings, any case. What cannot be read is left out. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  if (header === undefined) return []
  return typeof header === 'string' ? challengesOf(header) : header.flatMap(challengesOf)
}

function challengesOf(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0
  const read = (expression: RegExp): RegExpExecArray | null => {
    expression.lastIndex = at
    const found = expression.exec(text)
    if (found) at = expression.lastIndex
    return found
  }

  read(separators)
  while (at < text.length) {
    const pair = read(parameter)
    const name = pair?.[1]?.toLowerCase()
    if (pair && name !== undefined) {
      const { parameters } = challenges.at(-1) ?? {}
      const value = pair[2]?.replace(/\\(.)/g, '$1') ?? pair[3] ?? ''
      if (parameters && !parameters.has(name)) parameters.set(name, value)
    } else {
      const named = read(scheme)
      if (named) challenges.push({ scheme: named[0].toLowerCase(), parameters: new Map() })
      else at += 1
    }
    read(separators)
  }
  return challenges
}
