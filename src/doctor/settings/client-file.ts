import type { NodeAddress } from './node-address.ts'

/** A file that tells a client of this node. */
export interface ClientFile {
  /** Where that client looks for it. */
  path: string
  text: string
}

/** The names of the registries that are mirrored, each once. */
export function registriesOf({ mirrors }: NodeAddress): string[] {
  return [...new Set(mirrors.map(({ registry }) => registry))]
}

/** The one file of an authority, where the node needs one. */
export function authorityFile({ authority }: NodeAddress, path: string): ClientFile[] {
  return authority === undefined
    ? []
    : [{ path, text: authority.endsWith('\n') ? authority : `${authority}\n` }]
}
