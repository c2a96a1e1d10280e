import type { Verdict } from './requirement.ts'
import type { Server } from './servers/server.ts'
import type { Column, Sample } from './summary.ts'

/** Something to find out about servers by measuring them side by side on this machine. */
export interface Question {
  readonly name: string
  /** One line for the list. */
  readonly asks: string
  /** How often each server is measured when nobody says otherwise. */
  readonly runs: number
  readonly quickRuns: number
  /** What it consists of, for questions of which a part can be asked alone. */
  readonly parts?: readonly Part[]
  /** After which it is given up; default 20. */
  readonly minutes?: number
  /** @throws MissingProgramError when what it compares with is not on this machine */
  answer(settings: BenchSettings, signal: AbortSignal): Promise<Answer>
}

export interface Part {
  readonly number: number
  /** One line for the list. */
  readonly asks: string
}

export interface BenchSettings {
  runs: number
  /** Less of everything: enough to see that it works, too little to quote. */
  quick: boolean
  blobBytes: number
  /** Numbers of the parts to ask; all where none is named. */
  only: readonly number[]
  /** Nothing beside Outport but the peers that are named. */
  alone: boolean
  /** Named on the command line. */
  peers: readonly Server[]
  /** Folder for CPU profiles of Outport, which cost it something. */
  profile?: string
}

export interface Answer {
  /** What was done, in one line. */
  title: string
  columns: readonly Column[]
  /** The n-th of a server was taken in the n-th round. */
  samples: readonly Sample[]
  /** The server that the others are compared with. */
  reference: string
  /** Name of each server and what it says of itself. */
  versions: Readonly<Record<string, string>>
  /** What is to be known beside the table: what was left out, and whether what is required holds. */
  notes: readonly string[]
  /** The columns by what was done for them; each is then shown as a line, with the servers side by side. */
  sections?: readonly Section[]
  /** What is known of servers that were not measured here. */
  known?: readonly Sample[]
  verdicts?: readonly Verdict[]
}

export interface Section {
  title: string
  /** Of the columns. */
  keys: readonly string[]
}
