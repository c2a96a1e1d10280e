/** Matches repository names (within a project) or tags; see {@link parsePattern}. */
export interface Pattern {
  (subject: string): boolean
  /** As it was written. */
  readonly text?: string
}

const maxLength = 256
const maxAlternatives = 64

/**
 * A glob as Harbor's filters have it: `*` within a component, `**` across components, `?` one character,
 * `{a,b}` alternatives (not nested). `library/**` also matches what is right below `library/`, not `library` itself.
 * Takes time linear in pattern × text whatever the pattern.
 * @throws SyntaxError that says what is wrong with the pattern.
 */
export function parsePattern(text: string): Pattern {
  if (text === '') throw new SyntaxError('an empty pattern matches nothing')
  if (text.length > maxLength) throw new SyntaxError(`a pattern has at most ${maxLength} characters`)
  const alternatives = expandBraces(text).map(tokensOf)
  const pattern = (subject: string) => alternatives.some((tokens) => matches(tokens, subject))
  return Object.assign(pattern, { text })
}

/** Whether `text` is a pattern and no plain name. */
export function hasWildcards(text: string): boolean {
  return /[*?{}]/.test(text)
}

type Token = { kind: 'literal'; character: string } | { kind: 'one' } | { kind: 'some' } | { kind: 'any' }

function expandBraces(text: string): string[] {
  const open = text.indexOf('{')
  if (open === -1) {
    if (text.includes('}')) throw new SyntaxError('"}" without "{"')
    return [text]
  }
  const close = text.indexOf('}', open)
  if (close === -1) throw new SyntaxError('"{" without "}"')
  const inside = text.slice(open + 1, close)
  if (inside.includes('{')) throw new SyntaxError('braces inside braces')
  const rest = expandBraces(text.slice(close + 1))
  const expanded = inside.split(',').flatMap((each) => rest.map((tail) => text.slice(0, open) + each + tail))
  if (expanded.length > maxAlternatives) throw new SyntaxError(`more than ${maxAlternatives} alternatives`)
  return expanded
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '?') tokens.push({ kind: 'one' })
    else if (character !== '*') tokens.push({ kind: 'literal', character })
    else if (text.charAt(at + 1) !== '*') tokens.push({ kind: 'some' })
    else {
      while (text.charAt(at + 1) === '*') at++
      tokens.push({ kind: 'any' })
    }
  }
  return tokens
}

/** Runs all ways through the pattern side by side: `live[i]` says whether tokens before `i` match what was read. */
function matches(tokens: readonly Token[], subject: string): boolean {
  let live = skipEmpty(tokens, new Set([0]))
  for (const character of subject) {
    const next = new Set<number>()
    for (const at of live) {
      const token = tokens[at]
      if (!token) continue
      if (token.kind === 'literal' && token.character === character) next.add(at + 1)
      else if (token.kind === 'one' && character !== '/') next.add(at + 1)
      else if (token.kind === 'any' || (token.kind === 'some' && character !== '/')) next.add(at)
    }
    if (next.size === 0) return false
    live = skipEmpty(tokens, next)
  }
  return live.has(tokens.length)
}

/** A star may match nothing, so what stands after it is live too. */
function skipEmpty(tokens: readonly Token[], live: Set<number>): Set<number> {
  for (const at of live) {
    const kind = tokens[at]?.kind
    if (kind === 'some' || kind === 'any') live.add(at + 1)
  }
  return live
}
