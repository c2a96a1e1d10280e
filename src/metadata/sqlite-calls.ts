/** What the serving thread asks of a database thread, and how that answers. Everything here survives structured cloning. */
export type Call =
  | { kind: 'query'; sql: string; parameters: readonly unknown[] }
  | { kind: 'group'; writes: readonly Write[] }
  | { kind: 'close' }

/** One statement and the parameters of each of its runs. */
export interface Statement {
  sql: string
  runs: (readonly unknown[])[]
}

/** All of it or nothing. */
export type Write = readonly Statement[]

export interface Answer {
  rows: unknown[]
  changes: number
}

export interface GroupAnswer {
  /** Of each write in turn: why it failed, or `undefined` when it is durable. */
  outcomes: (Fault | undefined)[]
  commits: number
}

export interface Fault {
  message: string
  /** SQLite's name of it, such as `SQLITE_FULL`. */
  code: string | undefined
}

export interface ConnectionOptions {
  file: string
  access: 'write' | 'read'
  durability: Durability
}

/** `full`: what was acknowledged survives a power cut. `fast`: it survives the end of the process. */
export type Durability = 'full' | 'fast'
