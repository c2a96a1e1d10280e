import { errorCodeOf } from '../flow/error-code.ts'
import type { FieldPath } from './problem.ts'

const maxShown = 60
const secretFields: readonly PropertyKey[] = ['credential', 'clientCertificate']

/** What stands at `path`, in words that can follow "found"; never the value of a secret, nor one that stands in a URL. */
export function describeFound(path: FieldPath, value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  if (isSecret(path)) return 'a value that is not shown'
  if (path.length === 0) return 'a plain value'
  return typeof value === 'string'
    ? quote(value)
    : typeof value === 'number'
      ? `the number ${value}`
      : String(value)
}

/** A name that is no field; only a plain word is shown, because `password:hunter2` without a blank is a name too. */
export function describeUnknownField(parent: FieldPath, name: string): string {
  return !isSecret(parent) && /^[A-Za-z][\w-]{0,39}$/.test(name)
    ? `the unknown field "${name}"`
    : 'an unknown field'
}

export function isSecret(path: FieldPath): boolean {
  const [first] = path
  return first !== undefined && secretFields.includes(first)
}

/** Why the system did not give a file or folder. */
export function describeFailure(error: unknown): string {
  const code = errorCodeOf(error) ?? ''
  if (code === 'ENOENT') return 'none there'
  return code === 'EACCES' || code === 'EPERM'
    ? `no right to it (${code})`
    : `an error of the system (${code || 'unknown'})`
}

/** In quotes and cut short. What stands before an `@`, after a `?` in a URL, or in PEM may be a secret. */
export function quote(text: string): string {
  if (text.includes('-----BEGIN')) return '"-----BEGIN…"'
  const safe = text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1…@')
    .replace(/(:\/\/[^?#]*)[?#].*$/s, '$1?…')
  return JSON.stringify(safe.length > maxShown ? `${safe.slice(0, maxShown)}…` : safe)
}
