import { parse, TomlError, type TomlTable } from 'smol-toml'
import type { Mistake } from '../findings.ts'

/** A table, or what keeps `reader` from reading it. */
export function parseToml(text: string, reader: string): { table: TomlTable } | { mistake: Mistake } {
  try {
    return { table: parse(text) }
  } catch (error) {
    const reason =
      error instanceof TomlError
        ? `line ${error.line}, column ${error.column}: ${firstLine(error)}`
        : String(error)
    return { mistake: fileInvalid(`${reader} cannot read it: ${reason}`) }
  }
}

export function fileInvalid(what: string): Mistake {
  return { code: 'file-invalid', what, advice: 'mend it; `outport doctor settings` prints one that is right' }
}

/** What stands at a path of keys; `undefined` where there is nothing, or no table on the way. */
export function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>((table, key) => (isTable(table) ? table[key] : undefined), value)
}

export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function firstLine({ message }: Error): string {
  return message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
}
